import { MockBackend } from '$lib/backend/mock'
import { waitFor } from '@testing-library/svelte'
import { expect, test } from 'vitest'
import { by, called, has, open, text } from '../../test/open'

function asAdmin(backend = new MockBackend()): MockBackend {
  if (backend.statusNow.me) backend.statusNow.me.person.admin = true
  return backend
}

test('only admins and auditors are offered the people, and only admins end everything', async () => {
  await open('/requests')
  expect(has('nav-people')).toBe(false)
})

test('an auditor looks and does not end', async () => {
  const backend = new MockBackend()
  if (backend.statusNow.me) backend.statusNow.me.person.auditor = true
  await open('/people', backend)
  await waitFor(() => expect(has('person-devices')).toBe(true))
  expect(has('end-all')).toBe(false)
})

test('what ends is listed, a reason is needed, and one signature ends all of it', async () => {
  const backend = asAdmin()
  const { user } = await open('/people', backend)
  await waitFor(() => expect(has('person-tomas@fernhill.example')).toBe(true))
  await user.click(by('person-tomas@fernhill.example'))
  await waitFor(() => expect(by('person-access').textContent).toContain('R-3187'))
  await user.click(by('end-all'))
  const listed = by('what-ends').textContent ?? ''
  expect(listed).toContain('R-3187, not yet approved')
  expect(listed).toContain('Tomás’s laptop')
  await user.click(by('sign'))
  expect(by('error').textContent).toContain('needs a reason')
  expect(called(backend, 'revokeAll')).toHaveLength(0)
  await user.type(by('note'), 'Laptop reported stolen')
  await user.keyboard('{Control>}{Enter}{/Control}')
  const id = backend.peopleNow.find((p) => p.handle === 'tomas@fernhill.example')?.id
  await waitFor(() => expect(called(backend, 'revokeAll')).toEqual([[id, 'Laptop reported stolen']]))
  await waitFor(() => expect(text()).toContain('0 may sign'))
  expect(backend.find('R-3187').state).toBe('withdrawn')
  expect(by('person-devices').textContent).toContain('Disabled')
  expect(has('what-ends')).toBe(false)
})

test('what could not be sent keeps its reason and is sent again only by the button', async () => {
  const backend = asAdmin()
  backend.fail('revokeAll', 'unreachable', 'The server could not be reached.')
  const { user } = await open('/people', backend)
  await waitFor(() => expect(has('person-tomas@fernhill.example')).toBe(true))
  await user.click(by('person-tomas@fernhill.example'))
  await waitFor(() => expect(by('person-access').textContent).toContain('R-3187'))
  await user.click(by('end-all'))
  await user.type(by('note'), 'gone')
  await user.click(by('sign'))
  await waitFor(() => expect(text()).toContain('Not sent'))
  expect((by('note') as HTMLTextAreaElement).value).toBe('gone')
  await user.click(by('sign'))
  await waitFor(() => expect(called(backend, 'revokeAll')).toHaveLength(2))
})

test('offline nothing is ended, and it says why', async () => {
  const backend = asAdmin()
  backend.goOffline()
  const { user } = await open('/people', backend)
  await waitFor(() => expect(has('end-all')).toBe(true))
  await user.click(by('end-all'))
  expect(has('what-ends')).toBe(false)
  expect(text()).toContain('Ending is off')
})
