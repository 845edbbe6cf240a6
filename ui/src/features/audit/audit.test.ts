import { MockBackend } from '$lib/backend/mock'
import { longLog } from '$lib/backend/mock-search'
import { fireEvent, waitFor } from '@testing-library/svelte'
import { expect, test } from 'vitest'
import { by, called, has, open, text } from '../../test/open'

test('the log is shown newest first, with the detail and its proof', async () => {
  const { user } = await open('/audit')
  await waitFor(() => expect(has('event-row-48213')).toBe(true))
  await user.click(by('event-row-48210'))
  await waitFor(() => expect(text()).toContain('Noor Haddad approved write on Orders database for Tomás Rivera'))
  expect(text()).toContain('Signature is valid')
  expect(text()).toContain('Event 48,210 is in the log')
  expect(text()).toContain('“Lock only, no deletes.”')
  expect(text()).toContain('request.approved')
  await user.click(await waitFor(() => document.querySelector('[aria-controls="raw"]') as HTMLElement))
  expect(by('raw-event').textContent).toContain('"kind":"request.approved"')
})

test('what is not checked yet is not called verified', async () => {
  const backend = new MockBackend()
  backend.statusNow.verified_to = 48_209
  await open('/audit/48210', backend)
  await waitFor(() => expect(text()).toContain('Event 48,210 is not checked yet'))
})

test('an invalid signature is said', async () => {
  const backend = new MockBackend()
  const event = backend.event
  backend.event = async (seq) => {
    const found = await event(seq)
    return { ...found, signature: found.signature && { ...found.signature, valid: false } }
  }
  await open('/audit/48210', backend)
  await waitFor(() => expect(text()).toContain('Signature is not valid'))
})

test('words and typed filters narrow the list', async () => {
  const { backend, user } = await open('/audit')
  await waitFor(() => expect(has('event-row-48213')).toBe(true))
  await user.keyboard('/')
  await user.keyboard('kind:request.denied ')
  await waitFor(() => expect(has('event-row-48213')).toBe(false))
  expect(has('event-row-48207')).toBe(true)
  expect(document.querySelector('.token')?.textContent).toContain('kind:request.denied')
  const queries = called(backend, 'eventSlice').map(([q]) => (q as { text: string }).text)
  expect(queries[queries.length - 1]).toBe('kind:request.denied')
  await user.keyboard('{Escape}')
  await waitFor(() => expect(has('event-row-48213')).toBe(true))
})

test('a suggestion becomes a token', async () => {
  const { user } = await open('/audit')
  await user.click(by('audit-search'))
  await user.keyboard('tomás')
  await user.keyboard('{ArrowDown}{Enter}')
  await waitFor(() => expect(document.querySelector('.token')?.textContent).toContain('person:tomas@fernhill.example'))
  await waitFor(() => expect(has('event-row-48213')).toBe(false))
  expect(has('event-row-48209')).toBe(true)
})

test('suggestions carry how many events they leave', async () => {
  const { user } = await open('/audit')
  await user.click(by('audit-search'))
  await user.keyboard('tomás')
  await waitFor(() => expect(document.querySelector('[role="option"]')?.textContent).toContain('1 event'))
})

test('a filter that cannot be read says how to write it, and what was found stays', async () => {
  const { backend, user } = await open('/audit')
  await waitFor(() => expect(has('event-row-48213')).toBe(true))
  backend.fail('eventSlice', 'malformed', '“after:2” is not a time; write it like after:2026-11-17')
  await user.click(by('audit-search'))
  await user.paste('after:2')
  await waitFor(() => expect(by('error').textContent).toContain('write it like after:2026-11-17'))
  expect(has('event-row-48213')).toBe(true)
})

test('a link can hold a search', async () => {
  await open('/audit?q=kind%3Agrant.ended')
  await waitFor(() => expect(has('event-row-48206')).toBe(true))
  expect(has('event-row-48213')).toBe(false)
})

test('nothing found says so, with a way back', async () => {
  const { user } = await open('/audit?q=nowhere')
  await waitFor(() => expect(text()).toContain('No event matches “nowhere”'))
  await user.click(document.querySelector('[data-testid="error"] button') as HTMLElement)
  await waitFor(() => expect(has('event-row-48213')).toBe(true))
})

test('new events come in by themselves', async () => {
  const { backend } = await open('/audit')
  await waitFor(() => expect(has('event-row-48213')).toBe(true))
  const [first] = backend.eventsNow
  if (first) backend.eventsNow.unshift({ ...first, seq: 48_214, id: 'e-new' })
  backend.emit('events')
  await waitFor(() => expect(has('event-row-48214')).toBe(true))
})

test('verify again asks the desktop process, and says when it could not', async () => {
  const backend = new MockBackend()
  backend.fail('verify', 'cache_broken', 'The local cache could not be read.')
  const { user } = await open('/audit', backend)
  await user.keyboard('v')
  await waitFor(() => expect(by('verify-failed').textContent).toContain('The local cache could not be read.'))
  await user.keyboard('v')
  await waitFor(() => expect(has('verify-result')).toBe(true))
})

test('offline the cached history stays readable', async () => {
  const backend = new MockBackend()
  backend.goOffline()
  await open('/audit', backend)
  await waitFor(() => expect(has('event-row-48213')).toBe(true))
  expect(by('offline-banner').textContent).toContain('showing cached history')
})

/** A log of a million events, one a minute. */
function million(): MockBackend {
  const backend = new MockBackend()
  backend.longLogNow = longLog(1_000_000, backend.eventsNow, backend.now())
  return backend
}

const rowsShown = () => [...document.querySelectorAll<HTMLElement>('a.event')]
const list = () => document.querySelector('#event-list') as HTMLElement
const focused = () => document.activeElement?.getAttribute('data-testid')

test('of a million events only those that are seen are made', async () => {
  await open('/audit', million())
  await waitFor(() => expect(has('event-row-1000000')).toBe(true))
  expect(rowsShown().length).toBeLessThan(80)
  expect(text()).toContain('1,000,000 events')
  const first = by('event-row-1000000').closest('li')
  expect([first?.getAttribute('aria-posinset'), first?.getAttribute('aria-setsize')]).toEqual(['1', '1000000'])

  list().scrollTop = 4_000_000
  await fireEvent.scroll(list())
  await waitFor(() => expect(rowsShown().some((r) => Math.abs(Number(r.dataset.place) - 500_000) < 2_000)).toBe(true))
  expect(rowsShown().length).toBeLessThan(80)
})

test('the keys reach every end of a million events, and focus goes with them', async () => {
  const { backend, user } = await open('/audit', million())
  await waitFor(() => expect(has('event-row-1000000')).toBe(true))
  expect(rowsShown().filter((r) => r.tabIndex === 0)).toHaveLength(1)
  by('event-row-1000000').focus()
  await user.keyboard('{ArrowDown}')
  await waitFor(() => expect(focused()).toBe('event-row-999999'))
  await user.keyboard('{End}')
  await waitFor(() => expect(focused()).toBe('event-row-1'))
  expect(by('event-row-1').getAttribute('aria-current')).toBe('true')
  expect(rowsShown().length).toBeLessThan(80)
  await user.keyboard('k')
  await waitFor(() => expect(focused()).toBe('event-row-2'))
  await user.keyboard('{PageUp}')
  await waitFor(() => expect(Number(focused()?.slice(10))).toBeGreaterThan(15))
  await user.keyboard('{Home}')
  await waitFor(() => expect(focused()).toBe('event-row-1000000'))
  // The days, and the search: nothing that was found made it look again.
  expect(called(backend, 'eventMap')).toHaveLength(2)
})

test('a search takes the whole width, with the log beside it, until an event is opened', async () => {
  const { user } = await open('/audit', million())
  await waitFor(() => expect(has('event-row-1000000')).toBe(true))
  await user.click(by('audit-search'))
  await user.paste('kind:request.denied ')
  await waitFor(() => expect(has('rail')).toBe(true))
  await waitFor(() => expect(text()).toContain('83,333 of 1,000,000'))
  expect(document.querySelector('.event-wide .state')?.textContent).toBe('Denied')
  const rail = by('rail')
  expect([rail.getAttribute('role'), rail.getAttribute('aria-valuemax')]).toEqual(['scrollbar', '1000000'])
  expect(rail.getAttribute('aria-valuetext')).toMatch(/^Event 999,994, /)
  expect(rail.querySelectorAll('.rail-hit')).toHaveLength(0)
  rail.focus()
  await user.keyboard('{End}')
  await waitFor(() => expect(rail.getAttribute('aria-valuetext')).toMatch(/^Event \d\d?\d?, /))
  const last = rowsShown().pop() as HTMLElement
  await user.click(last)
  await waitFor(() => expect(document.querySelector('article')?.getAttribute('aria-label')).toBe(`Event ${last.dataset.testid?.slice(10)}`))
  expect(has('rail')).toBe(false)
  await user.keyboard('{Escape}')
  await waitFor(() => expect(has('rail')).toBe(true))
})

test('the rail has a mark where something matches', async () => {
  await open('/audit?q=kind%3Arequest.denied')
  await waitFor(() => expect(document.querySelectorAll('.rail-hit')).toHaveLength(1))
})

test('D jumps to a date or to an event, and says before where it lands', async () => {
  const { user } = await open('/audit', million())
  await waitFor(() => expect(has('event-row-1000000')).toBe(true))
  await user.keyboard('d')
  const field = await waitFor(() => by('jump-to') as HTMLInputElement)
  await waitFor(() => expect(document.activeElement).toBe(field))
  await user.clear(field)
  await user.type(field, 'sometime')
  await waitFor(() => expect(text()).toContain('Write a date such as 3 Mar 2026'))
  await user.clear(field)
  await user.type(field, '611,140')
  await waitFor(() => expect(text()).toContain('Lands on event 611,140'))
  await user.keyboard('{Enter}')
  await waitFor(() => expect(focused()).toBe('event-row-611140'))
  await user.keyboard('d')
  await user.click(await waitFor(() => document.querySelector('.cal-grid button:not(:disabled)') as HTMLElement))
  await waitFor(() => expect(text()).toContain('the first of that day'))
  await user.click(by('jump-go'))
  await waitFor(() => expect(focused()).not.toBe('event-row-611140'))
})

test('a search is saved under a name, offered again, renamed and deleted', async () => {
  const { backend, user } = await open('/audit?q=kind%3Arequest.denied')
  await waitFor(() => expect(has('save')).toBe(true))
  await user.keyboard('{Control>}s{/Control}')
  await waitFor(() => expect(document.activeElement).toBe(by('search-name')))
  await user.keyboard('Refusals{Enter}')
  await waitFor(() => expect(backend.searchesNow).toEqual([{ name: 'Refusals', text: 'kind:request.denied' }]))
  await waitFor(() => expect(has('search-name')).toBe(false))
  await user.click(by('audit-search'))
  await user.keyboard('{Escape}')
  await user.click(by('audit-search'))
  await user.keyboard('refus')
  const option = await waitFor(() => {
    const found = [...document.querySelectorAll<HTMLElement>('[role="option"]')].find((o) => o.textContent?.includes('Refusals'))
    if (!found) throw new Error('not offered')
    return found
  })
  await waitFor(() => expect(option.textContent).toContain('1 event'))
  await user.click(option)
  await waitFor(() => expect(document.querySelector('.token')?.textContent).toContain('kind:request.denied'))
  await user.click(by('manage-searches'))
  await user.click(await waitFor(() => document.querySelector('[aria-label="Rename Refusals"]') as HTMLElement))
  await user.clear(document.querySelector('[aria-label="New name of Refusals"]') as HTMLElement)
  await user.keyboard('Denials{Enter}')
  await waitFor(() => expect(backend.searchesNow[0]?.name).toBe('Denials'))
  await user.click(await waitFor(() => document.querySelector('[aria-label="Delete Denials"]') as HTMLElement))
  await waitFor(() => expect(backend.searchesNow).toEqual([]))
})

test('what was found stays while something else is looked for', async () => {
  const { backend, user } = await open('/audit')
  await waitFor(() => expect(has('event-row-48213')).toBe(true))
  backend.hold()
  await user.click(by('audit-search'))
  await user.keyboard('denied')
  expect(has('event-row-48213')).toBe(true)
  await waitFor(() => expect(document.querySelector('.loading[aria-label="Searching"]')).not.toBeNull())
  expect(has('event-row-48213')).toBe(true)
  backend.release()
  await waitFor(() => expect(has('event-row-48213')).toBe(false))
  expect(document.querySelector('.loading[aria-label="Searching"]')).toBeNull()
})
