/// <reference types="node" />
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { climb, fromBase64, leafHash, nodeHash, siblings, toBase64, toHex } from './merkle'
import { keyId, readNote } from './note'

/** The tree as RFC 6962 defines it, top down. */
async function root(leaves: Uint8Array[]): Promise<Uint8Array> {
  if (leaves.length === 1) return leaves[0] as Uint8Array
  const k = 2 ** (Math.ceil(Math.log2(leaves.length)) - 1)
  return nodeHash(await root(leaves.slice(0, k)), await root(leaves.slice(k)))
}

async function path(at: number, leaves: Uint8Array[]): Promise<Array<{ hash: string; left: boolean }>> {
  if (leaves.length === 1) return []
  const k = 2 ** (Math.ceil(Math.log2(leaves.length)) - 1)
  return at < k
    ? [...(await path(at, leaves.slice(0, k))), { hash: toHex(await root(leaves.slice(k))), left: false }]
    : [...(await path(at - k, leaves.slice(k))), { hash: toHex(await root(leaves.slice(0, k))), left: true }]
}

const events = Array.from({ length: 37 }, (_, i) => `{"event":${i + 1}}`)

test('every event of every tree leads to its head, and to no other', async () => {
  const leaves = await Promise.all(events.map(leafHash))
  for (const size of [1, 2, 3, 4, 5, 7, 8, 9, 16, 31, 37]) {
    const head_root = toHex(await root(leaves.slice(0, size)))
    for (let seq = 1; seq <= size; seq++) {
      const claim = { raw: events[seq - 1] as string, leaf: toHex(leaves[seq - 1] as Uint8Array), seq, head_size: size, head_root, proof: await path(seq - 1, leaves.slice(0, size)) }
      const up = await climb(claim)
      expect(up.holds, `${seq} of ${size}`).toBe(true)
      expect(up.knots.at(-1)?.coversFrom ?? 1).toBe(1)
      expect(up.knots.at(-1)?.coversTo ?? 1).toBe(size)
      expect((await climb({ ...claim, raw: `${claim.raw} ` })).holds).toBe(false)
      expect((await climb({ ...claim, leaf: '00'.repeat(32) })).holds).toBe(false)
      expect((await climb({ ...claim, head_root: '00'.repeat(32) })).holds).toBe(false)
      if (size > 1) {
        expect((await climb({ ...claim, proof: claim.proof.slice(1) })).holds).toBe(false)
        expect((await climb({ ...claim, proof: claim.proof.map((s) => ({ ...s, left: !s.left })) })).holds).toBe(false)
        expect((await climb({ ...claim, proof: [...claim.proof, { hash: '00'.repeat(32), left: true }] })).holds).toBe(false)
        expect((await climb({ ...claim, proof: claim.proof.map((s) => ({ ...s, hash: 'not a hash' })) })).holds).toBe(false)
      }
    }
  }
})

test('a leaf and a knot are hashed as the log hashes them', async () => {
  // RFC 6962: SHA-256(0x00), and the root of two empty leaves.
  expect(toHex(await leafHash(''))).toBe('6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d')
  const empty = await leafHash('')
  expect(toHex(await nodeHash(empty, empty))).toBe('fe43d66afa4a9a5c4f9c9da89f4ffb52635c8f342e7ffb731d68e36c5982072a')
})

test('what siblings cover is told by the sizes alone', () => {
  expect(siblings(48_209, 48_213)).toEqual([
    { left: false, from: 48_210, to: 48_210 },
    { left: false, from: 48_211, to: 48_212 },
    { left: false, from: 48_213, to: 48_213 },
    { left: true, from: 48_193, to: 48_208 },
    { left: true, from: 48_129, to: 48_192 },
    { left: true, from: 47_105, to: 48_128 },
    { left: true, from: 45_057, to: 47_104 },
    { left: true, from: 40_961, to: 45_056 },
    { left: true, from: 32_769, to: 40_960 },
    { left: true, from: 1, to: 32_768 },
  ])
  expect(siblings(1, 1)).toEqual([])
  expect(siblings(2 ** 40, 2 ** 40)).toHaveLength(40)
  expect(siblings(9, 3)).toEqual([])
})

// The example of C2SP's signed-note, with its key.
const VKEY = 'example.com/foo+530d903c+AVo5RRR0fXCVqcS5oQXV8hnVZT8cUbQt6FSgDkoLKVHr'

test('a note that is no head is none', async () => {
  expect(await readNote('This is an example message.\n\n\u2014 example.com/foo U7xu', VKEY)).toBeNull()
  expect(await readNote('', VKEY)).toBeNull()
  expect(keyId(VKEY)).toBe('53:0d:90:3c')
  expect(keyId('nonsense')).toBe('')
})

test('a head is checked with the key that was kept, and with no other', async () => {
  const make = async (name: string) => {
    const pair = await crypto.subtle.generateKey({ name: 'Ed25519' }, true, ['sign', 'verify'])
    const key = Uint8Array.of(1, ...new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey)))
    const id = new Uint8Array(await crypto.subtle.digest('SHA-256', Uint8Array.of(...new TextEncoder().encode(`${name}\n`), ...key))).slice(0, 4)
    return {
      vkey: `${name}+${toHex(id)}+${toBase64(key)}`,
      sign: async (text: string) => `\u2014 ${name} ${toBase64(Uint8Array.of(...id, ...new Uint8Array(await crypto.subtle.sign({ name: 'Ed25519' }, pair.privateKey, new TextEncoder().encode(text)))))}\n`,
    }
  }
  const [log, other, witness] = [await make('gate.example'), await make('gate.example'), await make('witness.example')]
  const text = `gate.example\n37\n${toBase64(new Uint8Array(32))}\n`
  const note = `${text}\n${await log.sign(text)}${await witness.sign(text)}`
  expect(await readNote(note, log.vkey)).toEqual({ origin: 'gate.example', size: 37, root: '00'.repeat(32), signed: true, cosigned: ['witness.example'] })
  expect((await readNote(note, other.vkey))?.signed).toBe(false)
  expect((await readNote(note, null))?.signed).toBeNull()
  expect((await readNote(note.replace('\n37\n', '\n38\n'), log.vkey))?.signed).toBe(false)
  expect((await readNote(note.replace('gate.example\n37', 'gate.other\n37'), log.vkey))?.signed).toBe(false)
})

// The same vectors that every other reader of the log is tried with.
const read = <T>(file: string) => JSON.parse(readFileSync(`../docs/log-format/${file}`, 'utf8')) as T
interface Bundle {
  vkey: string
  checkpoint: string
  events: Array<{ seq: number; leaf: string; proof: string[] }>
}

async function holds({ vkey, checkpoint, events }: Bundle): Promise<boolean[]> {
  const head = await readNote(checkpoint, vkey)
  if (!head?.signed) return [false]
  return Promise.all(
    events.map(async ({ seq, leaf, proof }) => {
      const raw = new TextDecoder().decode(fromBase64(leaf) ?? undefined)
      const sides = siblings(seq, head.size)
      const steps = proof.map((hash, i) => ({ hash: toHex(fromBase64(hash) ?? new Uint8Array()), left: sides[i]?.left ?? false }))
      return (await climb({ raw, seq, leaf: toHex(await leafHash(raw)), proof: steps, head_size: head.size, head_root: head.root })).holds
    }),
  )
}

test('bundles that the log wrote add up here, and those whose places or heads were changed do not', async () => {
  const expected = Object.entries(read<Record<string, string>>('bundles.json'))
  expect(expected.length).toBeGreaterThan(5)
  for (const [file, verdict] of expected) {
    const found = await holds(read<Bundle>(file))
    if (/^(inclusion|checkpoint)/.test(verdict)) expect(found, file).toContain(false)
    // What else may be wrong with an event is not told by its place.
    else expect(found, file).not.toContain(false)
    expect(found.length, file).toBeGreaterThan(0)
  }
})
