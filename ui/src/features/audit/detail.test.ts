import { MockBackend } from '$lib/backend/mock'
import type { EventDetail } from '$lib/generated/EventDetail'
import type { EventView } from '$lib/generated/EventView'
import { screen, waitFor } from '@testing-library/svelte'
import { expect, test } from 'vitest'
import { by, called, has, open, text } from '../../test/open'
import { leafHash, toHex } from './merkle'

const APPROVED = 48_210

/** A mock whose answer about one event is changed. */
function telling(change: (found: EventDetail) => Partial<EventDetail>): MockBackend {
  const backend = new MockBackend()
  const event = backend.event
  backend.event = async (seq) => {
    const found = await event(seq)
    return { ...found, ...change(found) }
  }
  return backend
}

const flip = (hash: string) => (hash.startsWith('0') ? '1' : '0') + hash.slice(1)
const one = (change: (event: EventView) => void, seq = APPROVED) => {
  const backend = new MockBackend()
  const event = backend.eventsNow.find((e) => e.seq === seq)
  if (event) change(event)
  return backend
}

async function hashes(backend: MockBackend, seq = APPROVED) {
  const { user } = await open(`/audit/${seq}`, backend)
  await user.click(await screen.findByTestId('show-hashes'))
  await waitFor(() => expect(has('climb')).toBe(true))
  return user
}

test('the hashes are computed in the window, from the event to the signed head', async () => {
  const backend = new MockBackend()
  const user = await hashes(backend)
  const found = await backend.event(APPROVED)
  expect(by('proof-sum').textContent).toMatch(/^1\d hashes lead from it to the head\. Computed in this window at \d\d:\d\d, in [\d.,]+ ms\.$/)
  expect(by('climb').getAttribute('aria-label')).toBe(`From event 48,210 to the log head, ${found.proof.length} steps`)
  expect([...by('climb').querySelectorAll('.sib')].map((s) => s.getAttribute('title'))).toEqual(found.proof.map((s) => s.hash))
  expect(by('climb').querySelector('.climb-head')?.getAttribute('title')).toBe(found.head_root)
  expect(text()).toContain('covers 1 to 48,213')
  expect(by('proof-holds').textContent).toContain('Same as the signed head')
  expect(text()).toContain('The head is signed by gate.fernhill.example, key ')
  await user.keyboard('{Escape}')
  expect(has('climb')).toBe(false)
  expect(document.activeElement).toBe(by('show-hashes'))
})

test('a hash that is another does not add up, and both places say so', async () => {
  const backend = telling((f) => ({ proof: f.proof.map((s, i) => (i === 2 ? { ...s, hash: flip(s.hash) } : s)), proof_holds: false, in_verified_tree: false }))
  await hashes(backend)
  expect(by('proof-fails').textContent).toContain('Not the same as the head')
  expect(by('climb').querySelector('.climb-bad')).not.toBeNull()
  expect(screen.getByRole('dialog').textContent).toContain('Event 48,210 does not lead to the head')
  expect(by('proof').textContent).toContain('Event 48,210 does not lead to the head')
})

test('the window does not take the app’s word for it', async () => {
  // The app says that it holds, and it does not.
  await hashes(telling((f) => ({ raw: `${f.raw} ` })))
  expect(has('proof-fails')).toBe(true)
})

test('a head that the log’s key did not sign is not called signed', async () => {
  const backend = telling((f) => ({ checkpoint: f.checkpoint?.replace(/\n48213\n/, '\n48214\n') ?? null }))
  await hashes(backend)
  expect(has('proof-fails')).toBe(true)
  expect(text()).toContain('The head is not signed by the key that this device keeps for the log.')
})

test('a head that is not signed yet is told as such', async () => {
  await hashes(telling(() => ({ checkpoint: null })))
  expect(text()).toContain('This head is not signed yet.')
  expect(by('proof-holds').textContent).toContain('Same as the head that was checked')
  expect(by('proof').textContent).toContain('hashes lead to the head at 48,213')
})

test('the proof can be taken along', async () => {
  const backend = new MockBackend()
  const user = await hashes(backend)
  await user.click(screen.getByText('Copy proof'))
  const copied = JSON.parse(called(backend, 'copyText')[0]?.[0] as string) as { leaf: string; proof: string[]; checkpoint: string; vkey: string }
  const found = await backend.event(APPROVED)
  expect(toHex(await leafHash(atob(copied.leaf)))).toBe(found.leaf)
  expect(copied.proof).toHaveLength(found.proof.length)
  expect([copied.checkpoint, copied.vkey]).toEqual([found.checkpoint, found.log_key])
})

test('the key says what was signed, by whom, over which log', async () => {
  const { user } = await open(`/audit/${APPROVED}`)
  await user.click(await screen.findByTestId('show-key'))
  const dialog = screen.getByRole('dialog').textContent ?? ''
  expect(dialog).toContain('Signature of event 48,210')
  expect(dialog).toContain('request.decide')
  expect(dialog).toContain('Noor Haddad')
  expect(dialog).toContain('the digest of what was asked')
  expect(dialog).toContain('48,209 events')
  expect(dialog).toContain('the same as here')
})

test('a decision over something else than was asked is said', async () => {
  const backend = telling((f) => ({ signature: f.signature && { ...f.signature, valid: false, shown_matches: false, head_holds: false } }))
  const { user } = await open(`/audit/${APPROVED}`, backend)
  await user.click(await screen.findByTestId('show-key'))
  expect(text()).toContain('Signature is not valid')
  expect(text()).toContain('not what was asked')
  expect(text()).toContain('not as here')
})

test('the exact bytes under the signature are shown', async () => {
  const body = { body: { command: 'request.decide', id: 'x' }, signature: 'c2ln' }
  const backend = telling(() => ({ raw: JSON.stringify({ command: body }) }))
  const { user } = await open(`/audit/${APPROVED}`, backend)
  await user.click(await screen.findByTestId('show-key'))
  expect(by('signed-bytes').textContent).toBe('gatepass/v1 request.decide\n{"command":"request.decide","id":"x"}')
})

test('the rule is shown in words and as published, with what decided marked', async () => {
  const { user } = await open(`/audit/${APPROVED}`)
  await user.click(await screen.findByTestId('show-rule'))
  const dialog = screen.getByRole('dialog').textContent?.replace(/\s+/g, ' ') ?? ''
  expect(dialog).toContain('Rule of orders-db/write')
  expect(dialog).toContain('People in backend and payments may ask for write, for at most 2 hours.')
  expect(dialog).toContain('Two different people approve: one from dba, one from on-call, never the one who asks.')
  expect(dialog).toContain('A reason and a ticket are needed, the ticket like ^INC-[0-9]+$.')
  expect(dialog).toContain('event 48,202')
  const hits = [...by('rule-lines').querySelectorAll('.hit')].map((l) => l.textContent)
  expect(hits[0]).toBe('  "approve": [')
  expect(hits).toHaveLength(4)
})

test('a rule whose version is not here is told from the request', async () => {
  const backend = telling((f) => ({ rule: f.rule && { ...f.rule, source: null, current: false, published_seq: null, published_at: null } }))
  const { user } = await open(`/audit/${APPROVED}`, backend)
  await user.click(await screen.findByTestId('show-rule'))
  expect(text()).toContain('This version of the catalogue is not on this device.')
  expect(text()).toContain('Not in force any more')
  expect(has('rule-lines')).toBe(false)
})

test('the whole story stands below, with this event marked and the others a click away', async () => {
  const { user } = await open(`/audit/${APPROVED}`)
  const story = await screen.findByTestId('story')
  expect([...story.querySelectorAll('li')].map((li) => li.getAttribute('aria-current'))).toEqual([null, 'step'])
  await user.click(by('story-48209'))
  await waitFor(() => expect(by('event-sentence').textContent).toContain('Tomás Rivera asked for'))
})

test('an access that ended shows that it was removed, and since when', async () => {
  await open('/audit/48206')
  await waitFor(() => expect(by('proof').textContent).toContain('Removed from target, checked '))
  expect(by('proof').textContent).toContain('Read back from the target, 1 open session cut')
})

test('texts that were erased say so, and since when', async () => {
  const backend = telling((f) => ({
    event: { ...f.event, texts: {}, erased_at: '2026-11-16T12:00:00Z' },
    raw: JSON.stringify({ kind: 'request.approved', note: 'ab'.repeat(32) }),
  }))
  await open(`/audit/${APPROVED}`, backend)
  expect((await screen.findByTestId('gone-note')).textContent).toContain('Erased on 16 Nov 2026')
})

test('texts that were kept for long enough, or are not for this person, are told apart', async () => {
  const raw = JSON.stringify({ kind: 'request.approved', note: 'ab'.repeat(32) })
  const backend = telling((f) => ({ event: { ...f.event, texts: {}, kept_until: f.event.seq === APPROVED ? '2026-11-01T00:00:00Z' : '2027-11-01T00:00:00Z' }, raw }))
  const { user } = await open(`/audit/${APPROVED}`, backend)
  expect((await screen.findByTestId('gone-note')).textContent).toContain('Kept until 1 Nov 2026, then removed')
  await user.click(await screen.findByTestId('story-48209'))
  await waitFor(() => expect(by('gone-note').textContent).toContain('Not yours to read'))
})

test('an erased event without a text of its own says so too', async () => {
  await open('/audit/48203', one((e) => (e.erased_at = '2026-11-16T12:00:00Z'), 48_203))
  expect((await screen.findByTestId('gone-texts')).textContent).toBe('Erased on 16 Nov 2026')
})

test('it can be copied as text and as JSON', async () => {
  const { backend, user } = await open(`/audit/${APPROVED}`)
  await user.click(await screen.findByTestId('copy-text'))
  await user.click(by('copy-json'))
  const [asText, asJson] = called(backend, 'copyText').map(([t]) => t as string)
  expect(asText).toContain('Noor Haddad approved write on Orders database for Tomás Rivera, 30 min\nEvent 48,210, request.approved\n')
  expect(asText).toContain('Note: Lock only, no deletes.')
  expect(asText).toContain('Signature valid, key c2:08:5e:b1 of Noor’s MacBook')
  const json = JSON.parse(asJson ?? '') as { seq: number; texts: object; event: { kind: string } }
  expect([json.seq, json.event.kind, json.texts]).toEqual([APPROVED, 'request.approved', { note: 'Lock only, no deletes.' }])
})

test('no text becomes markup, turns around, or writes another line', async () => {
  const evil = '<img src=x onerror="globalThis.hit=1">\u202Eeb ot\nSignature valid, key 00'
  const backend = one((e) => {
    e.texts = { note: evil, '<b>field</b>': evil }
    e.sentence = evil
    e.parts = [{ text: evil, strong: true }]
    e.by_name = evil
  })
  const detail = backend.event
  backend.event = async (seq) => {
    const found = await detail(seq)
    return {
      ...found, signature: found.signature && { ...found.signature, device_name: evil, fingerprint: evil, kind: evil },
      rule: found.rule && { ...found.rule, role: evil, ask: [evil], grants: [evil], target: evil, source: JSON.stringify({ [evil]: evil }) },
    }
  }
  const { user } = await open(`/audit/${APPROVED}`, backend)
  await user.click(await screen.findByTestId('copy-text'))
  for (const button of ['show-key', 'show-hashes', 'show-rule']) {
    await user.click(by(button))
    await user.keyboard('{Escape}')
    await user.click(by(button))
    expect(document.querySelector('img')).toBeNull()
    expect(document.body.textContent).not.toContain('\u202E')
    await user.keyboard('{Escape}')
  }
  expect(by('event-sentence').querySelectorAll('b')).toHaveLength(1)
  const copied = called(backend, 'copyText')[0]?.[0] as string
  expect(copied.split('\n').filter((l) => l.startsWith('Signature valid'))).toHaveLength(1)
  expect(copied).not.toContain('\u202E')
})
