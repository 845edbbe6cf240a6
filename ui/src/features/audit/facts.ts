/** What is said of an event beside its sentence. */

import type { EventDetail } from '$lib/generated/EventDetail'
import type { EventView } from '$lib/generated/EventView'
import { date } from '$lib/time'

/** Fields of an event that hold the salted digest of a text. */
const TEXTS = ['reason', 'ticket', 'note', 'name', 'details'] as const

/** An object out of text that should hold one; empty when it does not. */
export function object(json: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

/** Texts that the event commits to and that are not here, by field. */
export function missing(found: EventDetail): string[] {
  const event = object(found.raw)
  return TEXTS.filter((field) => typeof event[field] === 'string' && /^[0-9a-f]{64}$/.test(event[field]) && !(field in found.event.texts))
}

/** Why a text is not here. */
export function gone(event: EventView, now: number): string {
  if (event.erased_at) return `Erased on ${date(event.erased_at)}`
  if (event.kept_until && Date.parse(event.kept_until) <= now) return `Kept until ${date(event.kept_until)}, then removed`
  return 'Not yours to read'
}

/** The command behind the event, as it was signed: the bytes under the signature, and that. */
export function signed(found: EventDetail): { bytes: string; signature: string } | null {
  const command = object(found.raw).command
  if (typeof command !== 'object' || command === null) return null
  const { body, signature } = command as { body?: unknown; signature?: unknown }
  if (body === undefined || typeof signature !== 'string') return null
  // The event is canonical, so its parts are, in the order they are read.
  return { bytes: `gatepass/v1 ${found.signature?.kind ?? ''}\n${JSON.stringify(body)}`, signature }
}
