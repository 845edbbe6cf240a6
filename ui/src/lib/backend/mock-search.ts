/** A search in the mock's log, which may be a long one: its events are made when they are looked at. */

import type { EventMap } from '$lib/generated/EventMap'
import type { EventPage } from '$lib/generated/EventPage'
import type { EventPlace } from '$lib/generated/EventPlace'
import type { EventView } from '$lib/generated/EventView'

/** Newest first. */
export interface Log {
  readonly length: number
  at(place: number): EventView
  seq(place: number): number
  /** Milliseconds. */
  time(place: number): number
  /** Places of what matches, newest first. */
  find(text: string): number[]
}

const PARTS = 400
const MARKS = 256

/** A log of so many events, one a minute, that repeats a short one; it knows no `after:` and no `before:`. */
export function longLog(length: number, pattern: readonly EventView[], now: number): Log {
  const time = (place: number) => now - place * 60_000
  const known = new Map<string, number[]>()
  return {
    length,
    time,
    seq: (place) => length - place,
    at(place) {
      const like = pattern[place % pattern.length] as EventView
      const seq = length - place
      return { ...like, seq, id: `0193e000-0000-7000-8000-${String(seq).padStart(12, '0')}`, at: new Date(time(place)).toISOString() }
    },
    find(text) {
      const before = known.get(text)
      if (before) return before
      const words = wordsOf(text)
      const matching = pattern.map((event) => words.every((w) => matches(event, w)))
      const found: number[] = []
      for (let place = 0; place < length; place++) if (matching[place % pattern.length]) found.push(place)
      known.set(text, found)
      return found
    },
  }
}

export function listLog(events: readonly EventView[]): Log {
  const at = (place: number) => events[place] as EventView
  return {
    length: events.length,
    at,
    seq: (place) => at(place).seq,
    time: (place) => Date.parse(at(place).at),
    find(text) {
      const words = wordsOf(text)
      return [...events.keys()].filter((place) => words.every((w) => matches(at(place), w)))
    },
  }
}

const wordsOf = (text: string) => text.toLowerCase().match(/(?:[a-z]+:)?"[^"]*"|\S+/g)?.map((w) => w.replaceAll('"', '')) ?? []

export function page(log: Log, text: string, offset: number, limit: number): EventPage {
  const found = log.find(text)
  return { items: found.slice(offset, offset + limit).map((place) => log.at(place)), total: found.length, capped: false }
}

export function pageBelow(log: Log, text: string, before: number | null, limit: number): EventPage {
  const found = log.find(text)
  const offset = before === null ? 0 : found.findIndex((place) => log.seq(place) < before)
  return page(log, text, offset < 0 ? found.length : offset, limit)
}

export const count = (log: Log, text: string): number => log.find(text).length

export function map(log: Log, text: string, midnights: readonly number[]): EventMap {
  const found = log.find(text)
  const size = log.length > 0 ? log.seq(0) : 0
  const days = new Array<number>(midnights.length + 1).fill(0)
  const parts = new Set<number>()
  let day = midnights.length
  for (const place of found) {
    const at = log.time(place)
    while (day > 0 && at < (midnights[day - 1] ?? 0)) day--
    days[day] = (days[day] ?? 0) + 1
    parts.add(Math.floor(((log.seq(place) - 1) * PARTS) / size))
  }
  const step = Math.max(1, Math.ceil(log.length / MARKS))
  const marks = []
  for (let place = log.length - 1; place >= 0; place -= step) marks.push({ at: new Date(log.time(place)).toISOString(), seq: log.seq(place) })
  return { total: found.length, capped: false, size, marks, days, parts: [...parts].sort((a, b) => a - b) }
}

/** Of the oldest event that `wanted` takes, and the first match from there on. */
export function place(log: Log, text: string, wanted: (seq: number, time: number) => boolean): EventPlace | null {
  let at = log.length - 1
  while (at >= 0 && !wanted(log.seq(at), log.time(at))) at--
  if (at < 0) return null
  const found = log.find(text)
  const older = found.findIndex((i) => i > at)
  const offset = Math.max(0, (older < 0 ? found.length : older) - 1)
  return { seq: log.seq(at), at: new Date(log.time(at)).toISOString(), offset }
}

function matches(event: EventView, word: string): boolean {
  const [key, value] = word.includes(':') ? (word.split(/:(.*)/, 2) as [string, string]) : ['', word]
  if (key === 'person') return `${event.by} ${event.by_name}`.toLowerCase().includes(value)
  if (key === 'resource') return (event.resource ?? '').includes(value)
  if (key === 'role') return event.role === value
  if (key === 'kind') return event.kind.includes(value)
  if (key === 'outcome') return event.kind.endsWith(value)
  if (key === 'after') return event.at.slice(0, 10) >= value
  if (key === 'before') return event.at.slice(0, 10) < value
  return `${event.sentence} ${event.number ?? ''} ${Object.values(event.texts).join(' ')}`.toLowerCase().includes(word)
}
