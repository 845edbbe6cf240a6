import { MockBackend } from '$lib/backend/mock'
import { waitFor } from '@testing-library/svelte'
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
  const queries = called(backend, 'events').map(([q]) => (q as { text: string }).text)
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
  backend.fail('events', 'malformed', '“after:2” is not a time; write it like after:2026-11-17')
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

test('offline the cached history stays readable', async () => {
  const backend = new MockBackend()
  backend.goOffline()
  await open('/audit', backend)
  await waitFor(() => expect(has('event-row-48213')).toBe(true))
  expect(by('offline-banner').textContent).toContain('showing cached history')
})
