import { MockBackend } from '$lib/backend/mock'
import { screen, waitFor } from '@testing-library/svelte'
import { expect, test } from 'vitest'
import { by, called, has, open, text } from '../../test/open'

const write = '/request?resource=orders-db&role=write'

test('the whole way: role, length, reason, ticket, who must approve, sent by Ctrl Enter', async () => {
  const { backend, user } = await open('/request')
  await user.click(by('resource-orders-db'))
  await user.click(by('role-write'))
  await user.click(by('duration-1800'))
  await user.type(by('reason'), 'Requeue 212 orders')
  await user.type(by('ticket'), 'INC-2041')
  await waitFor(() => expect(by('preview').textContent).toContain('Two people must approve.'))
  expect(by('preview').textContent).toContain('One from dba')
  expect(by('preview').textContent).toContain('Noor Haddad')
  expect(by('preview').textContent).toContain('Gives the database role orders_writer')
  await user.keyboard('{Control>}{Enter}{/Control}')
  await waitFor(() => expect(called(backend, 'submitRequest')).toHaveLength(1))
  expect(called(backend, 'submitRequest')[0]).toEqual([
    { resource: 'orders-db', role: 'write', duration_s: 1800, reason: 'Requeue 212 orders', ticket: 'INC-2041', extends: null },
  ])
  // lands on the request that was made
  await waitFor(() => expect(text()).toContain('You ask for write on Orders database (production) for 30 minutes'))
  expect(has('request-row-R-3189')).toBe(true)
})

test('problems stand at their fields once one came to them, and nothing is sent', async () => {
  const { backend, user } = await open(write)
  await waitFor(() => expect(text()).toContain('Still needed: reason, ticket'))
  expect(document.querySelector('.problem')).toBeNull()
  await user.type(by('ticket'), 'INC-x')
  await user.tab()
  await waitFor(() => expect(by('ticket').getAttribute('aria-invalid')).toBe('true'))
  expect(text()).toContain('1 thing to fix: ticket')
  await user.click(by('send-request'))
  await waitFor(() => expect(by('reason').getAttribute('aria-invalid')).toBe('true'))
  expect(text()).toContain('This role needs a reason.')
  expect(called(backend, 'submitRequest')).toHaveLength(0)
})

test('lengths follow the role; a free one is read and bounded', async () => {
  const { backend, user } = await open('/request?resource=orders-staging')
  expect(has('duration-5') && has('duration-10') && has('duration-20')).toBe(true)
  await user.type(by('duration-other'), '25s')
  expect(text()).toContain('At most 20 s')
  await user.clear(by('duration-other'))
  await user.type(by('duration-other'), '15s')
  await waitFor(() => expect(by('preview').textContent).toContain('15 seconds after it is ready'))
  expect(by('preview').textContent).toContain('Granted at once')
  await user.click(by('send-request'))
  await waitFor(() => expect(called(backend, 'submitRequest')).toHaveLength(1))
  expect(called(backend, 'submitRequest')[0]).toMatchObject([{ duration_s: 15 }])
})

test('a role that is not for the person’s groups cannot be chosen', async () => {
  const { user } = await open(write)
  await user.click(by('role-admin'))
  expect(by('role-admin').getAttribute('aria-checked')).toBe('false')
  expect(by('role-write').getAttribute('aria-checked')).toBe('true')
})

test('a request that did not arrive keeps what was written and waits for the button', async () => {
  const backend = new MockBackend()
  backend.fail('submitRequest', 'unreachable', 'The server could not be reached.')
  const { user } = await open(write, backend)
  await user.type(by('reason'), 'Kept')
  await user.type(by('ticket'), 'INC-1')
  await user.click(by('send-request'))
  expect((await screen.findByRole('alert')).textContent).toContain('Not sent')
  expect((by('reason') as HTMLTextAreaElement).value).toBe('Kept')
  expect(called(backend, 'submitRequest')).toHaveLength(1)
})

test('offline nothing can be sent, and it says why', async () => {
  const backend = new MockBackend()
  backend.goOffline()
  const { user } = await open(write, backend)
  await user.type(by('reason'), 'x')
  await user.click(by('send-request'))
  expect(text()).toContain('Cannot be sent now')
  expect(called(backend, 'submitRequest')).toHaveLength(0)
})

test('a chosen role stays chosen when the catalogue is read again', async () => {
  const { backend, user } = await open(write)
  await user.click(by('role-read'))
  backend.emit('catalogue')
  await waitFor(() => expect(called(backend, 'catalogue').length).toBeGreaterThan(1))
  expect(by('role-read').getAttribute('aria-checked')).toBe('true')
})

test('looking elsewhere does not lose what was written', async () => {
  const { user } = await open(write)
  await user.type(by('reason'), 'Half a sent')
  await user.type(by('duration-other'), '45m')
  await user.click(by('nav-access'))
  await waitFor(() => expect(has('reason')).toBe(false))
  await user.click(by('new-request'))
  await waitFor(() => expect((by('reason') as HTMLTextAreaElement).value).toBe('Half a sent'))
  expect((by('duration-other') as HTMLInputElement).value).toBe('45 min')
})

test('resources are found by words', async () => {
  const { user } = await open('/request')
  await user.keyboard('/')
  await user.keyboard('bastion')
  await waitFor(() => expect(has('resource-ledger-db')).toBe(false))
  expect(has('resource-bastion')).toBe(true)
})

test('a resource that is not there says so', async () => {
  await open('/request?resource=gone')
  expect(by('error').textContent).toContain('There is no resource “gone” for you')
})
