import { MockBackend } from '$lib/backend/mock'
import { screen, waitFor, within } from '@testing-library/svelte'
import { expect, test } from 'vitest'
import { by, called, has, open, text } from '../../test/open'

const dialog = () => screen.getByRole('dialog')

test('the inbox says the request as a sentence, with reason, ticket and what the role gives', async () => {
  await open('/review')
  expect(screen.getByRole('heading', { level: 1 }).textContent).toBe('To review')
  expect(text()).toContain('Tomás Rivera asks for write on Orders database (production) for 30 minutes')
  expect(text()).toContain('release the lock on order_jobs')
  expect(text()).toContain('INC-2041')
  expect(text()).toContain('Gives the database role orders_writer')
  expect(text()).toContain('Yours is the last approval')
  expect(by('request-row-R-3187').getAttribute('aria-current')).toBe('true')
})

test('approving shows what is signed, allows a shorter time, and signs by Ctrl Enter', async () => {
  const { backend, user } = await open('/review')
  await user.keyboard('a')
  await user.click(await screen.findByTestId('duration-600'))
  await user.type(by('note'), 'Lock only')
  await waitFor(() => expect(text()).toContain('Show the exact bytes'))
  await user.keyboard('{Control>}{Enter}{/Control}')
  await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull())
  const sent = called(backend, 'sendPrepared')
  expect(sent).toHaveLength(1)
  const drafts = called(backend, 'prepareDecision')
  expect(drafts[drafts.length - 1]).toEqual([
    { request: backend.find('R-3187').id, verdict: 'approve', duration_s: 600, note: 'Lock only' },
  ])
  expect(backend.find('R-3187').state).toBe('approved')
  // the next one that waits is selected
  await waitFor(() => expect(by('request-row-R-3186').getAttribute('aria-current')).toBe('true'))
})

test('the bytes shown are prepared again when the draft changes', async () => {
  const { user } = await open('/review')
  await user.click(by('approve'))
  await waitFor(() => expect(dialog().querySelector('.bytes')?.textContent).toContain('"duration_s":1800'))
  await user.click(by('duration-900'))
  await waitFor(() => expect(dialog().querySelector('.bytes')?.textContent).toContain('"duration_s":900'))
  expect(dialog().textContent).toContain('15 minutes')
})

test('a typed duration cannot be longer than what was asked', async () => {
  const { backend, user } = await open('/review')
  await user.click(by('approve'))
  await user.type(by('duration-other'), '2h')
  expect(dialog().textContent).toContain('At most 30 min')
  await user.click(by('sign'))
  expect(called(backend, 'sendPrepared')).toHaveLength(0)
  await user.clear(by('duration-other'))
  await user.type(by('duration-other'), '90s')
  await waitFor(() => expect(dialog().querySelector('.bytes')?.textContent).toContain('"duration_s":90,'))
})

test('a decision that did not arrive says so, keeps what was typed, and is sent again only by the button, as the same one', async () => {
  const backend = new MockBackend()
  backend.fail('sendPrepared', 'unreachable', 'The server could not be reached.')
  const { user } = await open('/review', backend)
  await user.click(by('approve'))
  await user.type(by('note'), 'Kept')
  await user.click(by('sign'))
  const alert = await screen.findByRole('alert')
  expect(alert.textContent).toContain('Not sent')
  expect((by('note') as HTMLTextAreaElement).value).toBe('Kept')
  expect(called(backend, 'sendPrepared')).toHaveLength(1)
  expect(backend.find('R-3187').state).toBe('pending')
  backend.emit('status', 'requests')
  await waitFor(() => expect(called(backend, 'requests').length).toBeGreaterThan(1))
  expect(called(backend, 'sendPrepared')).toHaveLength(1)
  expect(by('sign').textContent).toContain('Try again')
  await user.click(by('sign'))
  await waitFor(() => expect(backend.find('R-3187').state).toBe('approved'))
  const [first, second] = called(backend, 'sendPrepared')
  expect(second).toEqual(first)
})

test('a refusal by the server stays in place with a way on', async () => {
  const backend = new MockBackend()
  backend.fail('sendPrepared', 'already_decided', 'R-3187 was withdrawn.')
  const { user } = await open('/review', backend)
  await user.click(by('approve'))
  await user.click(by('sign'))
  expect((await screen.findByRole('alert')).textContent).toContain('Not approved — R-3187 was withdrawn.')
  await user.click(screen.getByText('Show what happened'))
  expect(screen.queryByRole('dialog')).toBeNull()
})

test('a decision that arrived although its answer did not is said to have arrived', async () => {
  const { backend, user } = await open('/review')
  await user.click(by('approve'))
  backend.fail('sendPrepared', 'unreachable', 'The server could not be reached.')
  await user.click(by('sign'))
  await screen.findByRole('alert')
  Object.assign(backend.find('R-3187'), { state: 'approved', can_decide: false, my_verdict: 'approve' })
  backend.emit('requests')
  await waitFor(() => expect(dialog().textContent).toContain('Your decision arrived.'))
  expect(dialog().textContent).not.toContain('Not sent')
  expect(within(dialog()).queryByTestId('sign')).toBeNull()
})

test('a request decided meanwhile says so in the open step', async () => {
  const { backend, user } = await open('/review')
  await user.click(by('deny'))
  await user.type(by('note'), 'No')
  Object.assign(backend.find('R-3187'), { state: 'withdrawn', can_decide: false })
  backend.emit('requests')
  await waitFor(() => expect(dialog().textContent).toContain('no longer waiting for you'))
  await user.keyboard('{Control>}{Enter}{/Control}')
  expect(called(backend, 'sendPrepared')).toHaveLength(0)
})

test('denying needs a reason', async () => {
  const { backend, user } = await open('/review')
  await user.keyboard('d')
  await user.keyboard('{Control>}{Enter}{/Control}')
  expect(within(dialog()).getByTestId('error').textContent).toContain('needs a reason')
  expect(called(backend, 'sendPrepared')).toHaveLength(0)
  await user.type(by('note'), 'Pair with Noor instead')
  await user.keyboard('{Control>}{Enter}{/Control}')
  await waitFor(() => expect(backend.find('R-3187').state).toBe('denied'))
  expect(backend.find('R-3187').denied_by?.note).toBe('Pair with Noor instead')
})

test('offline the list stays, and deciding is off with the reason', async () => {
  const backend = new MockBackend()
  backend.goOffline()
  const { user } = await open('/review', backend)
  expect(by('offline-banner').textContent).toContain('Offline since')
  expect(by('request-row-R-3187')).toBeTruthy()
  expect(by('approve').getAttribute('aria-disabled')).toBe('true')
  expect(text()).toContain('Needs the server')
  await user.click(by('approve'))
  await user.keyboard('a')
  expect(screen.queryByRole('dialog')).toBeNull()
})

test('a step that is open when the connection goes can be sent, and says that it was not', async () => {
  const { backend, user } = await open('/review')
  await user.click(by('approve'))
  await user.type(by('note'), 'Kept here')
  backend.goOffline()
  await waitFor(() => expect(has('offline-banner')).toBe(true))
  await user.click(by('sign'))
  expect((await screen.findByRole('alert')).textContent).toContain('Not sent')
  expect((by('note') as HTMLTextAreaElement).value).toBe('Kept here')
  expect(backend.find('R-3187').state).toBe('pending')
})

test('a log that contradicts this device locks deciding', async () => {
  const backend = new MockBackend()
  backend.statusNow.mismatch = true
  const { user } = await open('/review', backend)
  expect(screen.getByRole('alert').textContent).toContain('contradicts what this device saw')
  await user.keyboard('a')
  expect(screen.queryByRole('dialog')).toBeNull()
})

test('J and K move, the filter hides and says how many', async () => {
  const { user } = await open('/review')
  await user.keyboard('j')
  await waitFor(() => expect(by('request-row-R-3186').getAttribute('aria-current')).toBe('true'))
  await user.keyboard('k')
  await waitFor(() => expect(by('request-row-R-3187').getAttribute('aria-current')).toBe('true'))
  await user.keyboard('f')
  await user.keyboard('nowhere')
  await waitFor(() => expect(text()).toContain('No request matches “nowhere”'))
  await user.keyboard('{Escape}')
  expect(by('request-row-R-3187')).toBeTruthy()
})

test('a newer request does not slip under the one being read', async () => {
  const { backend, user } = await open('/review')
  const newer = { ...backend.find('R-3187'), id: '0193b000-0000-7000-8000-newer0000001', number: 'R-3199', created_at: new Date().toISOString() }
  backend.requestsNow.push(newer)
  backend.emit('requests')
  await waitFor(() => expect(has('request-row-R-3199')).toBe(true))
  expect(by('request-row-R-3187').getAttribute('aria-current')).toBe('true')
  await user.keyboard('a')
  await waitFor(() => expect(dialog().textContent).toContain('R-3187'))
})

test('nothing to review says what will appear', async () => {
  const backend = new MockBackend()
  backend.requestsNow = backend.requestsNow.filter((r) => r.mine)
  await open('/review', backend)
  expect(text()).toContain('No one is waiting for you')
})

test('what could not be loaded says so and can be tried again', async () => {
  const backend = new MockBackend()
  backend.fail('requests', 'cache_broken', 'The local cache could not be opened.')
  const { user } = await open('/review', backend)
  expect(by('error').textContent).toContain('Requests could not be loaded')
  await user.click(within(by('error')).getByText('Try again'))
  await waitFor(() => expect(has('request-row-R-3187')).toBe(true))
})

test('an approver ends someone’s access with a reason', async () => {
  const { backend, user } = await open('/review')
  await user.click(by('request-row-R-3180'))
  await user.click(await screen.findByTestId('end-access'))
  await user.click(by('sign'))
  expect(called(backend, 'revokeGrant')).toHaveLength(0)
  expect(within(dialog()).getByTestId('error').textContent).toContain('needs a reason')
  await user.type(by('note'), 'Wrong bucket')
  await user.click(by('sign'))
  await waitFor(() => expect(called(backend, 'revokeGrant')).toHaveLength(1))
  expect(called(backend, 'revokeGrant')[0]?.[1]).toBe('Wrong bucket')
  await waitFor(() => expect(by('request-grant').textContent).toContain('Ending'))
})

test('text from people cannot hide what it is', async () => {
  const backend = new MockBackend()
  Object.assign(backend.find('R-3187'), { reason: 'safe\u202etxt.exe <b>bold</b>', by_name: 'Tomás\u200b Rivera' })
  await open('/review', backend)
  expect(text()).toContain('safe⟨U+202E⟩txt.exe <b>bold</b>')
  expect(text()).toContain('Tomás⟨U+200B⟩ Rivera asks for')
})
