import { MockBackend } from '$lib/backend/mock'
import { screen, waitFor, within } from '@testing-library/svelte'
import userEvent from '@testing-library/user-event'
import { afterEach, expect, test, vi } from 'vitest'
import { by, called, open, text } from '../../test/open'

afterEach(() => vi.useRealTimers())

const card = (number: string) => within(by(`grant-card-${number}`))

test('an access shows its countdown, its exact end and the line to run', async () => {
  const { backend, user } = await open('/access')
  expect(card('R-3178').getByTestId('countdown').textContent).toMatch(/^1:2\d:\d\d$/)
  expect(by('grant-card-R-3178').textContent).toMatch(/ends \d\d:\d\d · \d\d:\d\d UTC/)
  await waitFor(() => expect(by('grant-card-R-3178').textContent).toContain('psql "service=gp-orders-prod" -U gp_mara_7f3k'))
  await user.click(card('R-3178').getByTestId('copy-command'))
  expect(called(backend, 'copyText')).toEqual([['psql "service=gp-orders-prod" -U gp_mara_7f3k']])
  expect(text()).toContain('Command copied')
})

test('under five minutes the card is amber, on top, and Extend is the filled button', async () => {
  await open('/access')
  const cards = [...document.querySelectorAll('[data-grant]')]
  expect(cards[0]).toBe(by('grant-card-R-3179'))
  expect(cards[0]?.className).toContain('grant-soon')
  expect(card('R-3179').getByTestId('extend').className).toContain('btn-main')
  expect(card('R-3178').getByTestId('extend').className).not.toContain('btn-main')
})

test('a password is hidden until asked for, and hides by itself and when the window loses focus', async () => {
  vi.useFakeTimers({ shouldAdvanceTime: true })
  const backend = new MockBackend()
  await open('/access', backend)
  const user = userEvent.setup({ advanceTimers: vi.advanceTimersByTime })
  const password = () => card('R-3178').getByTestId('password').textContent
  await waitFor(() => expect(password()).toContain('••••'))
  expect(text()).not.toContain(backend.password)
  await user.click(card('R-3178').getByTestId('reveal-password'))
  await waitFor(() => expect(password()).toBe(backend.password))
  await vi.advanceTimersByTimeAsync(10_001)
  expect(password()).toContain('••••')
  await user.click(card('R-3178').getByTestId('reveal-password'))
  await waitFor(() => expect(password()).toBe(backend.password))
  window.dispatchEvent(new Event('blur'))
  await waitFor(() => expect(password()).toContain('••••'))
  await user.click(card('R-3178').getByTestId('copy-password'))
  expect(called(backend, 'copyPassword')).toHaveLength(1)
  await waitFor(() => expect(text()).toContain('cleared in 30 seconds'))
})

test('a countdown follows the server’s clock and stops while the window is hidden', async () => {
  vi.useFakeTimers({ shouldAdvanceTime: true })
  const backend = new MockBackend()
  backend.statusNow.clock_offset_ms = 60_000
  await open('/access', backend)
  const left = () => card('R-3179').getByTestId('countdown').textContent ?? ''
  expect(left()).toMatch(/^2:1\d$/)
  const hidden = vi.spyOn(document, 'hidden', 'get').mockReturnValue(true)
  document.dispatchEvent(new Event('visibilitychange'))
  await vi.advanceTimersByTimeAsync(1500)
  const before = left()
  await vi.advanceTimersByTimeAsync(30_000)
  expect(left()).toBe(before)
  hidden.mockReturnValue(false)
  document.dispatchEvent(new Event('visibilitychange'))
  await waitFor(() => expect(left()).toMatch(/^1:4\d$/))
  hidden.mockRestore()
})

test('the end is announced politely, and shown as ending until the server says more', async () => {
  vi.useFakeTimers({ shouldAdvanceTime: true })
  const backend = new MockBackend()
  await open('/access', backend)
  await vi.advanceTimersByTimeAsync(133_000)
  await waitFor(() => expect(text()).toContain('member on vpn-admins ends in 1 minute'))
  await vi.advanceTimersByTimeAsync(61_000)
  await waitFor(() => expect(text()).toContain('member on vpn-admins has ended'))
  expect(by('grant-card-R-3179').textContent).toContain('Ending…')
  expect(card('R-3179').getByTestId('extend').getAttribute('aria-disabled')).toBe('true')
})

test('giving back says what is cut, and ends it', async () => {
  const { backend, user } = await open('/access')
  await user.keyboard('b')
  expect(screen.getByRole('dialog').textContent).toContain('Open sessions are cut')
  await user.keyboard('{Control>}{Enter}{/Control}')
  await waitFor(() => expect(called(backend, 'returnGrant')).toHaveLength(1))
  await waitFor(() => expect(by('grant-card-R-3179').textContent).toContain('Ending…'))
  expect(by('grant-card-R-3179').textContent).toContain('you gave it back')
})

test('giving back that did not arrive is not repeated unseen', async () => {
  const backend = new MockBackend()
  backend.fail('returnGrant', 'unreachable', 'The server could not be reached.')
  const { user } = await open('/access', backend)
  await user.click(card('R-3178').getByTestId('give-back'))
  await user.click(by('sign'))
  expect((await screen.findByRole('alert')).textContent).toContain('Not sent')
  expect(called(backend, 'returnGrant')).toHaveLength(1)
  await user.click(by('sign'))
  await waitFor(() => expect(called(backend, 'returnGrant')).toHaveLength(2))
})

test('extending previews who must approve, asks with a reason, and says it is asked', async () => {
  const { backend, user } = await open('/access')
  await user.click(card('R-3179').getByTestId('extend'))
  await waitFor(() => expect(screen.getByRole('dialog').textContent).toContain('It needs a new approval'))
  await user.click(by('duration-1800'))
  await user.type(by('reason'), 'Still watching')
  await user.click(by('sign'))
  await waitFor(() => expect(called(backend, 'extendGrant')).toHaveLength(1))
  expect(called(backend, 'extendGrant')[0]?.slice(1)).toEqual([1800, 'Still watching'])
  await waitFor(() => expect(by('grant-card-R-3179').textContent).toContain('Asked for more time'))
  expect(card('R-3179').getByTestId('extend').getAttribute('aria-disabled')).toBe('true')
})

test('a step can be opened by a notification', async () => {
  const { backend } = await open('/review')
  const grant = backend.grantsNow.find((g) => g.number === 'R-3179')
  backend.navigate(`/access/${grant?.id}?step=return`)
  await waitFor(() => expect(screen.getByRole('dialog').textContent).toContain('Give back member on vpn-admins'))
})

test('an access that could not be removed says so, how often it was tried, and never that it is gone', async () => {
  const backend = new MockBackend()
  const since = new Date().toISOString()
  Object.assign(backend.grantsNow[1] ?? {}, { state: 'ending', end: 'expired', trouble: { attempts: 3, message: 'the database does not answer', since } })
  await open('/access', backend)
  expect(by('grant-card-R-3178').textContent).toContain('Still open: the database does not answer')
  expect(by('grant-card-R-3178').textContent).toContain('tried 3 times')
  expect(document.querySelector('[data-grant]')).toBe(by('grant-card-R-3178'))
})

test('what ended shows how, when, and the proof of removal', async () => {
  await open('/access')
  const row = by('ended-R-3150')
  expect(row.textContent).toContain('Ended on time')
  expect(row.textContent).toMatch(/Removed from target, checked \d\d:\d\d:\d\d/)
})

test('a credential that is not on this device is said in place', async () => {
  const backend = new MockBackend()
  for (let i = 0; i < 4; i++) backend.fail('credential', 'no_credential', 'There is no credential for this access.')
  await open('/access', backend)
  await waitFor(() => expect(by('grant-card-R-3178').textContent).toContain('There is no credential for this access.'))
})

test('a certificate comes with a line and an entry to copy, and no password', async () => {
  const backend = new MockBackend()
  for (const grant of backend.grantsNow) if (grant.number === 'R-3178') grant.kind = 'ssh'
  const { user } = await open('/access', backend)
  await user.click(await card('R-3178').findByTestId('copy-config'))
  await waitFor(() => expect(called(backend, 'copyText')[0]?.[0]).toContain('Host bastion-eu-1'))
  expect(card('R-3178').queryByTestId('reveal-password')).toBeNull()
})

test('a membership says of what, and has nothing to run', async () => {
  const backend = new MockBackend()
  for (const grant of backend.grantsNow) if (grant.number === 'R-3178') grant.kind = 'ldap'
  await open('/access', backend)
  await waitFor(() => expect(by('grant-card-R-3178').textContent).toContain('Member of cn=finance'))
  expect(card('R-3178').queryByTestId('copy-command')).toBeNull()
})

test('what a webhook gave is shown only when asked for', async () => {
  const backend = new MockBackend()
  backend.password = 'console: https://deploys.example.com\ntoken: dp-4411'
  for (const grant of backend.grantsNow) if (grant.number === 'R-3178') grant.kind = 'webhook'
  const { user } = await open('/access', backend)
  const reveal = await card('R-3178').findByTestId('reveal-password')
  expect(by('grant-card-R-3178').textContent).not.toContain('dp-4411')
  await user.click(reveal)
  await waitFor(() => expect(by('grant-card-R-3178').textContent).toContain('token: dp-4411'))
})

test('nothing held says what will appear here', async () => {
  const backend = new MockBackend()
  backend.grantsNow = []
  await open('/access', backend)
  expect(text()).toContain('You hold no access')
})

test('a sample access says that it opens nothing, and offers no line to run', async () => {
  const backend = new MockBackend()
  for (const grant of backend.grantsNow) if (grant.number === 'R-3178') grant.kind = 'sample'
  await open('/access', backend)
  await waitFor(() => expect(by('grant-card-R-3178').textContent).toContain('opens nothing'))
  expect(card('R-3178').queryByTestId('copy-command')).toBeNull()
  expect(card('R-3178').queryByTestId('reveal-password')).toBeNull()
})
