/** An event as it is pasted elsewhere. */

import type { EventDetail } from '$lib/generated/EventDetail'
import { capital, number, visible } from '$lib/text'
import { date, hms } from '$lib/time'
import { gone, missing, object } from './facts'
import { fromHex, toBase64 } from './merkle'

/** The event, what is known beside it, and all that proves its place; the hashes as `audit export` writes them. */
export function eventJson(found: EventDetail): string {
  const { event } = found
  const whole = {
    seq: event.seq,
    sentence: visible(event.sentence),
    event: object(found.raw),
    texts: event.texts,
    ...proof(found),
  }
  return JSON.stringify(whole, null, 2)
}

export function proofJson(found: EventDetail): string {
  return JSON.stringify({ seq: found.event.seq, ...proof(found) }, null, 2)
}

function proof(found: EventDetail) {
  return {
    vkey: found.log_key,
    checkpoint: found.checkpoint,
    head: { size: found.head_size, root: found.head_root },
    // The exact bytes of the leaf: SHA-256(0x00 || leaf) is its hash.
    leaf: toBase64(new TextEncoder().encode(found.raw)),
    proof: found.proof.map((step) => toBase64(fromHex(step.hash))),
  }
}

/** A few lines for people. Nothing in them can pretend to be another line. */
export function eventText(found: EventDetail, now: number): string {
  const { event } = found
  const one = (text: string) => visible(text).replace(/[\n\t]+/g, ' ')
  const lines = [
    one(event.sentence),
    `Event ${number(event.seq)}, ${event.kind}`,
    `${date(event.at, true)} ${hms(event.at, true)} UTC`,
  ]
  if (event.number) lines.push(`Request ${one(event.number)}`)
  for (const [field, text] of Object.entries(event.texts)) lines.push(`${capital(one(field))}: ${one(text)}`)
  for (const field of missing(found)) lines.push(`${field === 'details' ? 'Name' : capital(field)}: ${gone(event, now)}`)
  const { signature } = found
  if (signature) lines.push(`Signature ${signature.valid ? 'valid' : 'NOT VALID'}, key ${one(signature.fingerprint)} of ${one(signature.device_name)}`)
  lines.push(
    found.in_verified_tree && found.proof_holds
      ? `In the log: leads to the ${found.checkpoint ? 'signed head' : 'head'} at ${number(found.head_size)}`
      : `Not proven to be in the log, which was checked to ${number(found.head_size)}`,
    `Event hash ${found.leaf}`,
    `Log head ${found.head_root}`,
  )
  return `${lines.join('\n')}\n`
}
