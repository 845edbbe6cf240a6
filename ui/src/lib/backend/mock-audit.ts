/** The log behind the mock: real hashes, a real signature over the head, and what can be made of it. Never in the product. */

import { leafHash, nodeHash, siblings, toBase64, toHex } from '../../features/audit/merkle'
import type { EventDetail } from '$lib/generated/EventDetail'
import type { EventView } from '$lib/generated/EventView'
import type { MismatchView } from '$lib/generated/MismatchView'
import type { RequestView } from '$lib/generated/RequestView'
import type { RuleView } from '$lib/generated/RuleView'
import type { SignatureCheck } from '$lib/generated/SignatureCheck'
import type { VerifyReport } from '$lib/generated/VerifyReport'
import { CATALOGUE, P, digest, iso } from './mock-data'

const ORIGIN = 'gate.fernhill.example'
const DEVICES: Record<string, [string, string]> = { [P.noor.handle]: ['Noor’s MacBook', 'c2:08:5e:b1'], [P.mara.handle]: ['Mara’s ThinkPad', '7d:1a:c4:9e'] }

const utf8 = (text: string) => new TextEncoder().encode(text)

/** The event's bytes, keys in order, as a real one has them. */
export function raw(event: EventView): string {
  const texts = Object.fromEntries(Object.keys(event.texts).map((field) => [field, digest(`${field}${event.seq}`)]))
  const body = { at: event.at, by: event.by === 'gatepass' ? 'gatepass' : { person: { device: digest(event.by).slice(0, 36), person: event.by } }, id: event.id, kind: event.kind, request: event.request, ...texts }
  return JSON.stringify(Object.fromEntries(Object.entries(body).filter(([, v]) => v !== null).sort(([a], [b]) => (a < b ? -1 : 1))))
}

let signing: Promise<{ vkey: string; sign: (text: string) => Promise<string> }> | undefined

/** A key of the log, made once; a note in C2SP's form by it. */
function logKey() {
  signing ??= (async () => {
    const pair = await crypto.subtle.generateKey({ name: 'Ed25519' }, true, ['sign', 'verify'])
    const key = Uint8Array.of(1, ...new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey)))
    const named = Uint8Array.of(...utf8(`${ORIGIN}\n`), ...key)
    const id = new Uint8Array(await crypto.subtle.digest('SHA-256', named)).slice(0, 4)
    return {
      vkey: `${ORIGIN}+${toHex(id)}+${toBase64(key)}`,
      sign: async (text: string) => {
        const signature = new Uint8Array(await crypto.subtle.sign({ name: 'Ed25519' }, pair.privateKey, utf8(text)))
        return `${text}\n\u2014 ${ORIGIN} ${toBase64(Uint8Array.of(...id, ...signature))}\n`
      },
    }
  })()
  return signing
}

/** An event with all there is to prove about it. What stands around it in the tree is made up, the hashing is not. */
export async function detail(event: EventView, events: readonly EventView[], requests: readonly RequestView[], verified: number): Promise<EventDetail> {
  const inside = event.seq <= verified
  const bytes = raw(event)
  let at = await leafHash(bytes)
  const leaf = toHex(at)
  const proof = []
  for (const range of inside ? siblings(event.seq, verified) : []) {
    const sibling = await leafHash(`${range.from}-${range.to}`)
    proof.push({ hash: toHex(sibling), left: range.left })
    at = range.left ? await nodeHash(sibling, at) : await nodeHash(at, sibling)
  }
  const { vkey, sign } = await logKey()
  const head_root = inside ? toHex(at) : digest('head')
  const request = requests.find((r) => r.id === event.request)
  return {
    event, raw: bytes, leaf, signature: signature(event, request), in_verified_tree: inside, head_size: verified, head_root, proof,
    proof_holds: inside, log_key: vkey, rule: request ? rule(request, events) : null,
    checkpoint: inside ? await sign(`${ORIGIN}\n${verified}\n${toBase64(at)}\n`) : null,
    removal: event.kind === 'grant.ended' ? { checked_at: iso(Date.parse(event.at) + 7000), sessions_ended: 1, attempts: 1 } : null,
    story: event.request ? events.filter((e) => e.request === event.request).reverse() : [event],
  }
}

function signature(event: EventView, request: RequestView | undefined): SignatureCheck | null {
  if (event.by === 'gatepass') return null
  const [device_name, fingerprint] = DEVICES[event.by] ?? [`${event.by_name.split(' ')[0]}’s ThinkPad`, '91:c7:0d:4a']
  const decided = event.kind === 'request.approved' || event.kind === 'request.denied'
  const kind = decided ? 'request.decide' : event.kind === 'request.created' ? 'request.create' : event.kind
  return {
    valid: true, device_name, fingerprint, kind, person: Object.values(P).find((p) => p.handle === event.by) ?? null,
    device: '0193a000-0000-7000-8000-0000000000d2', signed_at: event.at, shown: decided && request ? request.shown : null,
    shown_matches: decided ? true : null, head: { size: event.seq - 1, root: digest(`head${event.seq - 1}`) }, head_holds: true,
  }
}

function rule(request: RequestView, events: readonly EventView[]): RuleView {
  const role = CATALOGUE.find((r) => r.id === request.resource)?.roles.find((r) => r.id === request.role)
  const published = events.find((e) => e.kind === 'catalogue.published')
  const approve = request.needs.map((n) => ({ from: n.from, count: n.count }))
  const source = {
    approve, ask: ['backend', 'payments'], default_s: role?.default_s, grants: request.grants, id: request.role, lapse_s: 7200, max_s: role?.max_s,
    min_s: role?.min_s, name: request.role_name, reason: role?.reason_required ? 'required' : 'optional', ticket: role?.ticket ?? null,
  }
  return {
    catalogue: request.catalogue, published_seq: published?.seq ?? null, published_at: published?.at ?? null, current: true,
    resource: request.resource, role: request.role, target: `${request.resource}-pg`, kind: request.kind, grants: request.grants,
    ask: ['backend', 'payments'], approve, max_s: role?.max_s ?? 7200, source: JSON.stringify(source),
  }
}

export function report(size: number, more: Partial<VerifyReport> = {}): VerifyReport {
  return { full: true, from: 0, size, root: digest('head'), signed_size: size, events: size, signatures: 9_204, decisions: 3_310, grants: 2_951, ended: 2_948, finding: null, cancelled: false, ...more }
}

/** The server showed another event at a position that this device had checked. */
export function mismatch(now: number): MismatchView {
  return {
    at: iso(now - 240_000), what: 'The server shows another event at position 48,207 than this device verified.', rule: 'consistency', seq: 48_207,
    kept_leaf: digest('kept'), given_leaf: digest('given'), seen: { size: 48_209, root: digest('seen') }, got: { size: 48_213, root: digest('got') },
    seen_note: `${ORIGIN}\n48209\n${toBase64(Uint8Array.from({ length: 32 }, (_, i) => i))}\n\n\u2014 ${ORIGIN} AAAAAA==\n`,
    got_note: `${ORIGIN}\n48213\n${toBase64(Uint8Array.from({ length: 32 }, (_, i) => 255 - i))}\n\n\u2014 ${ORIGIN} AAAAAA==\n`,
  }
}
