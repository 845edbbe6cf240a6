import { MockBackend } from '$lib/backend/mock'
import { screen, waitFor } from '@testing-library/svelte'
import { expect, test } from 'vitest'
import { by, called, has, open, text } from '../../test/open'

async function unjoined() {
  const backend = new MockBackend()
  await backend.leave()
  return backend
}

test('an invite link joins, and the window goes where something waits', async () => {
  const { backend, user } = await open('', await unjoined())
  await user.type(by('invite-link'), 'gatepass://join?server=x&code=y')
  await user.click(by('continue'))
  await waitFor(() => expect(screen.getByRole('heading', { level: 1 }).textContent).toBe('To review'))
  expect(called(backend, 'join')[0]?.[0]).toBe('gatepass://join?server=x&code=y')
  expect(has('request-row-R-3187')).toBe(true)
})

test('an invite that is refused says why at the field, and stays', async () => {
  const backend = await unjoined()
  backend.fail('join', 'invite_used', 'This invite was already used.')
  const { user } = await open('', backend)
  await user.type(by('invite-link'), 'gatepass://join?code=y{Enter}')
  await waitFor(() => expect(by('error').textContent).toContain('This invite was already used.'))
  expect((by('invite-link') as HTMLInputElement).value).toBe('gatepass://join?code=y')
})

test('a join link from outside fills the field and never joins by itself', async () => {
  const { backend } = await open('', await unjoined())
  backend.navigate('/join?link=gatepass%3A%2F%2Fjoin%3Fcode%3Dz')
  await waitFor(() => expect((by('invite-link') as HTMLInputElement).value).toBe('gatepass://join?code=z'))
  expect(called(backend, 'join')).toHaveLength(0)
})

test('a join link on a profile that has joined says so and changes nothing', async () => {
  const { backend } = await open('/review')
  backend.navigate('/join?link=gatepass%3A%2F%2Fjoin')
  await waitFor(() => expect(text()).toContain('This profile has already joined a server'))
  expect(called(backend, 'join')).toHaveLength(0)
})

test('it can be tried on this machine', async () => {
  const { backend, user } = await open('', await unjoined())
  await user.click(by('try-here'))
  await waitFor(() => expect(has('nav-review')).toBe(true))
  expect(called(backend, 'tryHere')).toHaveLength(1)
})

test('a trial can invite its second person', async () => {
  const backend = new MockBackend()
  backend.statusNow.trial = true
  const { user } = await open('/settings/server', backend)
  await user.click(by('trial-invite'))
  await waitFor(() => expect(by('trial-link').textContent).toContain('gatepass://join'))
  expect(text()).toContain('gatepass-desktop --profile second')
})

test('without a keyring it says so, and tries again', async () => {
  const backend = await unjoined()
  backend.statusNow.problem = { code: 'no_keyring', message: 'No keyring answers on this computer.' }
  const { user } = await open('', backend)
  expect(by('error').textContent).toContain('No keyring on this computer')
  backend.statusNow.problem = null
  await user.click(screen.getByText('Try again'))
  await waitFor(() => expect(has('invite-link')).toBe(true))
})

test('the first view is reported once it is there', async () => {
  const { backend } = await open('/review')
  await waitFor(() => expect(called(backend, 'uiReady')).toHaveLength(1))
})

test('keys go to the views, and not while typing', async () => {
  const { user } = await open('/review')
  const h1 = () => screen.getByRole('heading', { level: 1 }).textContent
  await user.keyboard('gm')
  await waitFor(() => expect(h1()).toBe('My access'))
  await user.keyboard('ga')
  await waitFor(() => expect(h1()).toBe('Audit'))
  await user.keyboard('n')
  await waitFor(() => expect(h1()).toBe('New request'))
  await user.click(by('reason'))
  await user.keyboard('gm')
  expect(h1()).toBe('New request')
  await user.keyboard('{Escape}')
  await user.keyboard('{Control>},{/Control}')
  await waitFor(() => expect(h1()).toBe('Settings'))
})

test('single letters can be turned off', async () => {
  const backend = new MockBackend()
  backend.settingsNow.single_letter_shortcuts = false
  const { user } = await open('/review', backend)
  await user.keyboard('n')
  expect(screen.getByRole('heading', { level: 1 }).textContent).toBe('To review')
})

test('while a dialog is open the window behind is inert, and focus comes back', async () => {
  const { user } = await open('/review')
  by('approve').focus()
  await user.click(by('approve'))
  await waitFor(() => expect(document.querySelector<HTMLElement>('.app')?.inert).toBe(true))
  expect(screen.getByRole('dialog').contains(document.activeElement)).toBe(true)
  await user.keyboard('{Escape}')
  await waitFor(() => expect(document.activeElement).toBe(by('approve')))
  expect(document.querySelector<HTMLElement>('.app')?.inert).toBe(false)
})

test('the palette finds what can be done, and Enter does it', async () => {
  const { user } = await open('/review')
  await user.keyboard('{Control>}k{/Control}')
  await user.type(by('palette'), 'approve')
  await user.keyboard('{Enter}')
  await waitFor(() => expect(screen.getByRole('dialog').textContent).toContain('Approve as on-call'))
})

test('a wrong clock is said, with by how much', async () => {
  const backend = new MockBackend()
  backend.statusNow.clock_offset_ms = -184_000
  await open('/review', backend)
  expect(text()).toContain('This clock is 3 min 4 s fast')
})

test('trying again after offline reads everything', async () => {
  const backend = new MockBackend()
  backend.goOffline()
  const { user } = await open('/review', backend)
  await user.click(screen.getByText('Try again'))
  await waitFor(() => expect(by('offline-banner').textContent).toContain('Tried again'))
  backend.goOnline()
  await waitFor(() => expect(has('offline-banner')).toBe(false))
})

test('settings are kept, applied, and taken back when they could not be', async () => {
  const { backend, user } = await open('/settings/appearance')
  await user.click(by('theme-dark'))
  await waitFor(() => expect(backend.settingsNow.theme).toBe('dark'))
  expect(document.documentElement.dataset.theme).toBe('dark')
  backend.fail('setSettings', 'cache_broken', 'The local cache could not be opened.')
  await user.click(by('theme-light'))
  await waitFor(() => expect(by('error').textContent).toContain('Not kept'))
  expect(document.documentElement.dataset.theme).toBe('dark')
})

test('leaving needs a second step, and goes back to joining', async () => {
  const { backend, user } = await open('/settings/server')
  await user.click(by('leave'))
  expect(called(backend, 'leave')).toHaveLength(0)
  await user.click(by('leave-now'))
  await waitFor(() => expect(has('invite-link')).toBe(true))
})

test('every view has one h1 and no link that leads nowhere', async () => {
  for (const route of ['/review', '/access', '/requests', '/request', '/audit', '/settings']) {
    const { backend } = await open(route)
    await waitFor(() => expect(document.querySelectorAll('h1')).toHaveLength(1))
    for (const link of document.querySelectorAll('a')) expect(link.getAttribute('href')).toMatch(/^#\//)
    expect(backend.calls.length).toBeGreaterThan(0)
    const { cleanup } = await import('@testing-library/svelte')
    cleanup()
  }
})
