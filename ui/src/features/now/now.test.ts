import { MockBackend } from '$lib/backend/mock'
import { waitFor } from '@testing-library/svelte'
import { expect, test } from 'vitest'
import { by, called, has, open, text } from '../../test/open'

test('what no grant explains stands first, what is known below, and the sidebar counts it', async () => {
  await open('/now')
  expect(by('nav-now').textContent).toContain('1 access without a grant')
  expect(by('without-a-grant').textContent).toContain('deploy_old')
  expect(by('drift-deploy_old').textContent).toContain('Holds orders_writer')
  expect(by('known').textContent).toContain('Noor Haddad: Monitoring, agreed in INC-1932.')
  expect(by('now-R-3178').textContent).toContain('Mara Lindqvist')
})

test('marking as known needs a reason and signs what was shown', async () => {
  const { backend, user } = await open('/now')
  await user.click(by('mark-deploy_old'))
  expect(text()).toContain('orders_writer on Orders database (production), target orders-pg.')
  await user.click(by('sign'))
  expect(by('error').textContent).toContain('Say why')
  expect(called(backend, 'markKnown')).toHaveLength(0)
  await user.type(by('note'), 'The old deploy, until March')
  await user.click(by('sign'))
  await waitFor(() => expect(by('known').textContent).toContain('Mara Lindqvist: The old deploy, until March'))
  expect(called(backend, 'markKnown')).toEqual([[backend.driftNow[0]?.id, 1, 'The old deploy, until March']])
  await waitFor(() => expect(by('nav-now').textContent).not.toContain('without a grant'))
  expect(has('without-a-grant')).toBe(false)
})

test('a change that comes in while the step is open is not signed unseen', async () => {
  const { backend, user } = await open('/now')
  await user.click(by('mark-deploy_old'))
  await user.type(by('note'), 'agreed')
  Object.assign(backend.driftNow[0] ?? {}, { revision: 2, grants: ['orders_owner', 'orders_writer'] })
  backend.emit('drift')
  await user.click(by('sign'))
  await waitFor(() => expect(text()).toContain('It changed after it was shown to you.'))
  expect(called(backend, 'markKnown')[0]?.[1]).toBe(1)
})

test('known is taken back with a reason', async () => {
  const { backend, user } = await open('/now')
  await user.click(by('mark-metrics_ro'))
  await user.type(by('note'), 'Monitoring was switched off')
  await user.keyboard('{Control>}{Enter}{/Control}')
  await waitFor(() => expect(called(backend, 'markUnknown')).toHaveLength(1))
  await waitFor(() => expect(by('nav-now').textContent).toContain('2 access without a grant'))
})

test('who may only look gets no button, and offline nothing can be marked', async () => {
  const backend = new MockBackend()
  Object.assign(backend.driftNow[1] ?? {}, { can_mark: false })
  backend.goOffline()
  await open('/now', backend)
  expect(has('mark-metrics_ro')).toBe(false)
  expect(by('mark-deploy_old').hasAttribute('disabled')).toBe(true)
})

test('hidden characters in a name are shown', async () => {
  const backend = new MockBackend()
  Object.assign(backend.driftNow[0] ?? {}, { name: 'root\u202e', id: 'x' })
  await open('/now', backend)
  expect(by('without-a-grant').textContent).toContain('root⟨U+202E⟩')
})

test('thousands are one line', async () => {
  const backend = new MockBackend()
  Object.assign(backend.driftNow[0] ?? {}, { name: null, more: 2900, grants: [] })
  await open('/now', backend)
  expect(by('without-a-grant').textContent).toContain('About 2900 more')
})

test('what could not be removed stands first, with what the target said and since when, until it is gone', async () => {
  const backend = new MockBackend()
  const stuck = backend.grantsNow[0]
  const since = new Date(Date.now() - 120_000).toISOString()
  Object.assign(stuck ?? {}, { state: 'ending', end: 'revoked', trouble: { attempts: 2, message: 'no route to host', since } })
  await open('/now', backend)
  expect(has('not-removed')).toBe(false)
  Object.assign(stuck?.trouble ?? {}, { attempts: 3 })
  backend.emit('grants')
  await waitFor(() => expect(by('not-removed').textContent).toContain('no route to host'))
  expect(by(`stuck-${stuck?.number}`).textContent).toMatch(/Tried 3 times since \d\d:\d\d/)
  expect(by('nav-now').textContent).toContain('1 not removed')
  Object.assign(stuck ?? {}, { state: 'ended', trouble: null })
  backend.emit('grants')
  await waitFor(() => expect(has('not-removed')).toBe(false))
})
