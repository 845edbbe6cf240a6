import { MockBackend } from '$lib/backend/mock'
import { mismatch as contradiction, report } from '$lib/backend/mock-audit'
import type { VerifyReport } from '$lib/generated/VerifyReport'
import { waitFor } from '@testing-library/svelte'
import { expect, test } from 'vitest'
import { by, called, has, open, text } from '../../test/open'

/** A mock whose check answers when told to. */
function checking(answer: Partial<VerifyReport>) {
  const backend = new MockBackend()
  let go = () => {}
  backend.verify = (full) => {
    backend.calls.push({ name: 'verify', args: [full] })
    return new Promise((done) => (go = () => done(report(48_213, answer))))
  }
  return { backend, go: () => go() }
}

test('V checks everything on this device, and says what was checked', async () => {
  const { backend, user } = await open('/audit')
  await user.keyboard('v')
  await waitFor(() => expect(by('verify-result').textContent).toContain('Everything holds to event 48,213'))
  expect(by('verify-result').textContent).toContain('9,204 signatures, 3,310 decisions and 2,951 accesses checked in 48,213 events that you may read')
  expect(by('verify-result').textContent).toContain('The tree is the one that was signed at 48,213.')
  expect(called(backend, 'verify')).toEqual([[true]])
  await user.click(by('verify-result').querySelector('[aria-label="Close"]') as HTMLElement)
  expect(has('verify-result')).toBe(false)
})

test('it works offline', async () => {
  const backend = new MockBackend()
  backend.goOffline()
  const { user } = await open('/audit', backend)
  await user.keyboard('v')
  await waitFor(() => expect(by('verify-result').textContent).toContain('Everything holds to event 48,213'))
})

test('a long check shows how far it is, and can be stopped', async () => {
  const { backend, go } = checking({ cancelled: true })
  backend.progressNow = { done: 12_000, total: 48_213 }
  const { user } = await open('/audit', backend)
  await user.click(by('verify'))
  await waitFor(() => expect(by('verify-running').textContent).toContain('12,000 of 48,213'))
  expect(document.querySelector('progress')?.value).toBe(24)
  await user.keyboard('v')
  expect(called(backend, 'verify')).toHaveLength(1)
  await user.click(by('verify-stop'))
  expect(called(backend, 'verifyCancel')).toHaveLength(1)
  expect(by('verify-running').textContent).toContain('Stopping…')
  go()
  await waitFor(() => expect(by('verify-result').textContent).toContain('Stopped'))
  expect(text()).toContain('That is not all of it.')
})

test('the first thing that does not hold is named, with its rule and a way to it', async () => {
  const { backend, go } = checking({ finding: { seq: 48_207, rule: 'decision.entitled', message: 'Kenji Sato could not decide on this <b>request</b>.' } })
  const { user } = await open('/audit', backend)
  await user.keyboard('v')
  await waitFor(() => expect(has('verify-running')).toBe(true))
  go()
  await waitFor(() => expect(by('verify-result').getAttribute('role')).toBe('alert'))
  expect(by('verify-result').textContent).toContain('Event 48,207 does not hold')
  expect(by('verify-result').textContent).toContain('Kenji Sato could not decide on this <b>request</b>.')
  expect(by('verify-result').textContent).toContain('decision.entitled')
  await user.click(by('verify-result').querySelector('a') as HTMLElement)
  await waitFor(() => expect(by('event-sentence').textContent).toContain('Kenji Sato denied'))
})

test('a check that could not be made says why', async () => {
  const backend = new MockBackend()
  backend.fail('verify', 'cache_broken', 'The local cache failed: disk I/O error')
  const { user } = await open('/audit', backend)
  await user.keyboard('v')
  await waitFor(() => expect(by('verify-failed').textContent).toContain('Not verified The local cache failed: disk I/O error'))
})

test('only what is new, and no signed head yet, are told as such', async () => {
  const { backend, go } = checking({ full: false, from: 48_000, signed_size: null, events: 213 })
  const { user } = await open('/audit', backend)
  await user.keyboard('v')
  await waitFor(() => expect(has('verify-running')).toBe(true))
  go()
  await waitFor(() => expect(by('verify-result').textContent).toContain('Events 48,001 to 48,213 hold'))
  expect(by('verify-result').textContent).toContain('No head was signed yet.')
})

async function contradicted(change: Partial<ReturnType<typeof contradiction>> = {}) {
  const backend = new MockBackend()
  backend.statusNow.mismatch = true
  const before = backend.mismatch
  backend.mismatch = async () => {
    const found = await before()
    return found && { ...found, ...change }
  }
  const opened = await open('/audit', backend)
  await waitFor(() => expect(has('mismatch')).toBe(true))
  return opened
}

test('a contradiction shows both sides, what it means, and what to do', async () => {
  await contradicted()
  const pane = by('mismatch').textContent?.replace(/\s+/g, ' ') ?? ''
  expect(pane).toContain('The server shows another history than this device verified')
  expect(pane).toContain('The server shows another event at position 48,207 than this device verified.')
  const { seen, got, kept_leaf, given_leaf } = contradiction(Date.now())
  const [kept, given] = [...by('mismatch').querySelectorAll('.compare > div')]
  expect([...(kept?.querySelectorAll('.was span') ?? [])].map((s) => s.getAttribute('title'))).toEqual([kept_leaf, seen?.root])
  expect([...(given?.querySelectorAll('.diff span') ?? [])].map((s) => s.getAttribute('title'))).toEqual([given_leaf, got?.root])
  expect(pane).toContain('Events up to 48,206 still hold.')
  expect(pane).toContain('3 events from there on are not trusted.')
  expect(pane).toContain('This device signs nothing for now.')
  expect(document.querySelector('.badge-danger')?.textContent).toContain('Mismatch at event 48,207')
  await waitFor(() => expect([...document.querySelectorAll('.event-bad .seq')].map((s) => s.textContent)).toEqual(['48,213', '48,212', '48,211', '48,210', '48,209', '48,208']))
  expect(by('event-row-48207').textContent).toContain('Mismatch: ')
})

test('the evidence is saved, from the page and from the banner that stays', async () => {
  const { backend, user } = await contradicted()
  await user.click(by('save-evidence'))
  await waitFor(() => expect(text()).toContain('Evidence saved: /home/mara/Downloads/gatepass-evidence-2026-11-17.json'))
  await user.click(by('banner-evidence'))
  expect(called(backend, 'exportEvidence')).toHaveLength(2)
  backend.fail('exportEvidence', 'internal', 'The evidence can’t be written: no space left.')
  await user.click(by('save-evidence'))
  await waitFor(() => expect(text()).toContain('Evidence not saved: The evidence can’t be written: no space left.'))
})

test('a contradiction of which little is known claims no more', async () => {
  await contradicted({ seq: null, kept_leaf: null, given_leaf: null, got: null, got_note: null, seen_note: null })
  const pane = by('mismatch').textContent ?? ''
  expect(pane).not.toContain('still hold')
  expect(pane).not.toContain('not trusted')
  expect(pane).toContain('No signed head was kept')
  expect(document.querySelector('.badge-danger')?.textContent).toContain('Contradicts the server')
})

test('an event of a contradicted log leads back to both sides', async () => {
  const { user } = await contradicted()
  await waitFor(() => expect(has('event-row-48210')).toBe(true))
  await user.click(by('event-row-48210'))
  await waitFor(() => expect(by('proof').textContent).toContain('The server’s log contradicts this device'))
  expect(text()).not.toContain('The log only grew')
  await user.click([...by('proof').querySelectorAll('a')].find((a) => a.textContent === 'Both sides') as HTMLElement)
  await waitFor(() => expect(has('mismatch')).toBe(true))
})

test('offline the history says until when it is checked', async () => {
  const backend = new MockBackend()
  backend.goOffline()
  await open('/audit/48210', backend)
  await waitFor(() => expect(by('proof').textContent).toContain('before this device went offline'))
  expect(document.querySelector('.badge-warn')?.textContent).toContain('Verified to event 48,213')
  expect(by('offline-banner').textContent).toContain('showing cached history')
  expect(by('offline-banner').textContent).toContain('Everything up to event 48,213 was verified on this device.')
})
