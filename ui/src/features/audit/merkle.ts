/** The log's tree, recomputed in the window itself (RFC 6962, SHA-256), so that nobody has to take the app's word. */

import type { ProofStep } from '$lib/generated/ProofStep'

/** One knot on the way up: what it is hashed with, and what it covers then. Positions are from 1. */
export interface Knot {
  sibling: string
  /** The sibling stands on the left. */
  left: boolean
  from: number
  to: number
  coversFrom: number
  coversTo: number
  /** The SHA-256 that comes out of it. */
  hash: string
}

export interface Climb {
  /** The event's hash, from its bytes. */
  leaf: string
  knots: Knot[]
  /** What the last knot came to. */
  root: string
  /** The event hashes to the leaf that was given, and leads to the head that was given. */
  holds: boolean
  /** How long the hashing took. */
  ms: number
}

interface Range {
  left: boolean
  from: number
  to: number
}

/** The largest power of two below `n`, which is at least 2. No bit operations: positions may pass 2^31. */
function split(n: number): number {
  let k = 1
  while (k * 2 < n) k *= 2
  return k
}

/** What the siblings on the way up from `seq` in a tree of `size` cover, from the leaf up. */
export function siblings(seq: number, size: number): Range[] {
  const found: Range[] = []
  let [from, to] = [1, size]
  while (seq >= from && seq <= to && to > from) {
    const middle = from + split(to - from + 1)
    if (seq < middle) {
      found.push({ left: false, from: middle, to })
      to = middle - 1
    } else {
      found.push({ left: true, from, to: middle - 1 })
      from = middle
    }
  }
  return found.reverse()
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('')
}

export function fromHex(hex: string): Uint8Array {
  if (!/^(?:[0-9a-f]{2})*$/i.test(hex)) return new Uint8Array()
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16))
}

export function fromBase64(text: string): Uint8Array<ArrayBuffer> | null {
  try {
    return Uint8Array.from(atob(text), (c) => c.charCodeAt(0))
  } catch {
    return null
  }
}

export function toBase64(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join(''))
}

async function sha256(...parts: Uint8Array[]): Promise<Uint8Array> {
  const all = new Uint8Array(parts.reduce((sum, p) => sum + p.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return new Uint8Array(await crypto.subtle.digest('SHA-256', all))
}

/** SHA-256(0x00 || the event's canonical bytes) */
export function leafHash(raw: string): Promise<Uint8Array> {
  return sha256(Uint8Array.of(0), new TextEncoder().encode(raw))
}

/** SHA-256(0x01 || left || right) */
export function nodeHash(left: Uint8Array, right: Uint8Array): Promise<Uint8Array> {
  return sha256(Uint8Array.of(1), left, right)
}

/** What is recomputed: the event's bytes, its place, and the head that it is said to lead to. */
export interface Claim {
  raw: string
  seq: number
  leaf: string
  proof: readonly ProofStep[]
  head_size: number
  head_root: string
}

export async function climb(claim: Claim): Promise<Climb> {
  const began = performance.now()
  let at = await leafHash(claim.raw)
  const leaf = toHex(at)
  const ranges = siblings(claim.seq, claim.head_size)
  const knots: Knot[] = []
  // As many hashes as a tree of this size has on the way, each on the side where the tree has it.
  let holds = leaf === claim.leaf && claim.proof.length === ranges.length && claim.seq >= 1 && claim.seq <= claim.head_size
  let [coversFrom, coversTo] = [claim.seq, claim.seq]
  for (const [i, range] of ranges.entries()) {
    const step = claim.proof[i]
    if (!step) break
    const sibling = fromHex(step.hash)
    if (step.left !== range.left || sibling.length !== 32) holds = false
    at = range.left ? await nodeHash(sibling, at) : await nodeHash(at, sibling)
    coversFrom = Math.min(coversFrom, range.from)
    coversTo = Math.max(coversTo, range.to)
    knots.push({ sibling: step.hash, left: range.left, from: range.from, to: range.to, coversFrom, coversTo, hash: toHex(at) })
  }
  const root = toHex(at)
  return { leaf, knots, root, holds: holds && root === claim.head_root, ms: performance.now() - began }
}
