import { MockBackend } from '$lib/backend/mock'
import { waitFor } from '@testing-library/svelte'
import { expect, test } from 'vitest'
import { by, called, has, open, text } from '../../test/open'
import { midnight, periods } from './period'

const nothing = { grant: null, query: null, after: null, before: null }

test('X opens the menu, arrows go through it, Esc gives the focus back', async () => {
  const { user } = await open('/audit')
  await user.keyboard('x')
  await waitFor(() => expect(document.activeElement).toBe(by('export-bundle')))
  await user.keyboard('{ArrowDown}')
  expect(document.activeElement).toBe(by('export-csv'))
  await user.keyboard('{End}')
  expect(document.activeElement).toBe(by('export-review'))
  await user.keyboard('{ArrowDown}')
  expect(document.activeElement).toBe(by('export-bundle'))
  await user.keyboard('{ArrowUp}')
  expect(document.activeElement).toBe(by('export-review'))
  await user.keyboard('{Escape}')
  expect(has('export-bundle')).toBe(false)
  expect(document.activeElement).toBe(by('export'))
})

test('the evidence pack holds everything, and says where it is and what it rests on', async () => {
  const { backend, user } = await open('/audit')
  await user.keyboard('x')
  await user.click(by('export-bundle'))
  await waitFor(() => expect(by('export-done').textContent).toContain('Evidence pack saved'))
  expect(called(backend, 'exportStart')).toEqual([[{ ...nothing, format: 'bundle' }]])
  expect(by('export-done').textContent).toContain('1,200 events in /home/mara/Downloads/gatepass-log-2026-11-17.evidence.json.')
  expect(by('export-done').textContent).toContain('From this device’s copy, verified to event 48,213 at ')
  await user.click([...by('export-done').querySelectorAll('button')].find((b) => b.textContent === 'Copy path') as HTMLElement)
  expect(called(backend, 'copyText')).toEqual([['/home/mara/Downloads/gatepass-log-2026-11-17.evidence.json']])
})

test('lines are of what the search finds', async () => {
  const { backend, user } = await open('/audit?q=kind%3Agrant.ended')
  await waitFor(() => expect(has('event-row-48206')).toBe(true))
  await user.click(by('export'))
  expect(by('export-csv').textContent).toContain('what the search finds')
  await user.click(by('export-csv'))
  await waitFor(() => expect(called(backend, 'exportStart')).toEqual([[{ ...nothing, format: 'csv', query: 'kind:grant.ended' }]]))
})

test('one access has its own evidence, from the menu and from its story', async () => {
  const { backend, user } = await open('/audit/48206')
  await waitFor(() => expect(has('evidence-pack')).toBe(true))
  await user.click(by('evidence-pack'))
  await waitFor(() => expect(has('export-done')).toBe(true))
  await user.keyboard('x')
  await user.click(by('export-html'))
  await waitFor(() => expect(called(backend, 'exportStart')).toHaveLength(2))
  expect(called(backend, 'exportStart')[1]).toEqual([{ ...nothing, format: 'html', grant: 'R-3150' }])
  await waitFor(() => expect(by('export-done').textContent).toContain('R-3150.evidence.html and /home/mara/Downloads/R-3150.evidence.json'))
})

test('a request that led to no access has no evidence of one', async () => {
  const { user } = await open('/audit/48207')
  await waitFor(() => expect(has('proof')).toBe(true))
  expect(has('evidence-pack')).toBe(false)
  await user.keyboard('x')
  expect(has('export-html')).toBe(false)
})

test('a long export shows how far it is, and can be cancelled', async () => {
  const backend = new MockBackend()
  backend.exportsNow.held = { done: 300, total: 1200 }
  const { user } = await open('/audit', backend)
  await user.keyboard('x')
  await user.click(by('export-jsonl'))
  await waitFor(() => expect(by('export-running').textContent).toContain('300 of 1,200'))
  expect(document.querySelector('progress')?.value).toBe(25)
  await user.keyboard('x')
  expect(has('export-csv')).toBe(false)
  expect(text()).toContain('An export is under way')
  backend.exportsNow.held = { done: 900, total: 1200 }
  await waitFor(() => expect(by('export-running').textContent).toContain('900 of 1,200'))
  await user.click(by('export-cancel'))
  await waitFor(() => expect(by('export-done').textContent).toContain('JSONL stopped Nothing was written.'))
})

test('an export goes on while other views are shown, and is there again', async () => {
  const backend = new MockBackend()
  backend.exportsNow.held = { done: 300, total: 1200 }
  const { user } = await open('/audit', backend)
  await user.keyboard('x')
  await user.click(by('export-csv'))
  await waitFor(() => expect(has('export-running')).toBe(true))
  await user.click(by('nav-requests'))
  await user.click(by('nav-audit'))
  await waitFor(() => expect(by('export-running').textContent).toContain('300 of 1,200'))
  await user.click(by('nav-requests'))
  backend.exportsNow.held = null
  await waitFor(() => expect(text()).toContain('CSV saved'))
})

test('an export that failed says why, keeps what was asked, and tries again', async () => {
  const backend = new MockBackend()
  backend.exportsNow.failure = { code: 'internal', message: 'The export can’t be written: <b>no space</b> left' }
  const { user } = await open('/audit', backend)
  await user.keyboard('x')
  await user.click(by('export-ocsf'))
  await waitFor(() => expect(by('export-failed').textContent).toContain('OCSF not saved The export can’t be written: <b>no space</b> left'))
  backend.exportsNow.failure = null
  await user.click([...by('export-failed').querySelectorAll('button')].find((b) => b.textContent === 'Try again') as HTMLElement)
  await waitFor(() => expect(by('export-done').textContent).toContain('OCSF saved'))
  expect(called(backend, 'exportStart')).toEqual([[{ ...nothing, format: 'ocsf' }], [{ ...nothing, format: 'ocsf' }]])
})

test('what does not hold about an export is not called saved alone', async () => {
  const backend = new MockBackend()
  const state = backend.exportState
  backend.exportState = async (id) => ({ ...(await state(id)), finding: 'Position 7: the signature does not hold.' })
  const { user } = await open('/audit', backend)
  await user.keyboard('x')
  await user.click(by('export-bundle'))
  await waitFor(() => expect(by('export-done').getAttribute('role')).toBe('alert'))
  expect(by('export-done').textContent).toContain('Evidence pack saved, and does not hold Position 7: the signature does not hold.')
})

test('offline the menu says which copy it is from', async () => {
  const backend = new MockBackend()
  backend.goOffline()
  const { user } = await open('/audit', backend)
  await user.keyboard('x')
  await waitFor(() => expect(document.querySelector('.menu-note')?.textContent).toContain('From this device’s copy, verified to event 48,213'))
  await user.click(by('export-csv'))
  await waitFor(() => expect(by('export-done').textContent).toContain('CSV saved'))
})

test('an access review is of whole days of this computer', async () => {
  const { backend, user } = await open('/audit')
  await user.keyboard('x')
  await user.click(by('export-review'))
  expect((by('review-from') as HTMLInputElement).value).toBe('2026-10-01')
  await user.clear(by('review-to'))
  await user.click(by('review-write'))
  expect(by('error').textContent).toContain('Write both days like 2026-11-17')
  await user.type(by('review-to'), '2026-09-30')
  expect(by('error').textContent).toContain('The period ends before it begins')
  await user.clear(by('review-to'))
  await user.type(by('review-to'), '2026-10-31')
  await user.keyboard('{Control>}{Enter}{/Control}')
  // The clock went back in between: local midnights, whatever their distance.
  await waitFor(() => expect(called(backend, 'exportStart')).toEqual([[{ ...nothing, format: 'review-html', after: '2026-09-30T22:00:00.000Z', before: '2026-10-31T23:00:00.000Z' }]]))
  await waitFor(() => expect(by('export-done').textContent).toContain('Access review saved 1,200 lines in '))
})

test('periods are whole, and days that are none are refused', () => {
  const at = new Date(2026, 0, 31, 12).getTime()
  expect(periods(at).map((p) => `${p.from} ${p.to}`)).toEqual(['2025-12-01 2025-12-31', '2026-01-01 2026-01-31', '2025-10-01 2025-12-31', '2026-01-01 2026-01-31'])
  expect(midnight('2026-02-30')).toBeNull()
  expect(midnight('today')).toBeNull()
  expect(midnight(' 2026-02-28 ')).toBe(new Date(2026, 1, 28).getTime())
})
