/** The whole log as a line, by position, the newest on top. */

import type { EventMap } from '$lib/generated/EventMap'
import { hm } from '$lib/time'

/** Into so many parts the client tells the log apart. */
export const PARTS = 400
/** Labels stand at least so far apart. */
const APART = 0.05

export interface Label {
  y: number
  name: string
  year: boolean
}

/** How far down a position is, 0 to 1. */
export function share(seq: number, size: number): number {
  return size > 1 ? 1 - (seq - 1) / (size - 1) : 0
}

export function positionAt(y: number, size: number): number {
  return Math.round(1 + (1 - Math.max(0, Math.min(1, y))) * (size - 1))
}

const DAY = 86_400_000
const MONTH = new Intl.DateTimeFormat('en-GB', { month: 'short' })
const DATE = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' })

/** Now, and the beginnings of years, half years, months, days or hours, as there is room. */
export function labels({ marks, size }: Pick<EventMap, 'marks' | 'size'>): Label[] {
  const [oldest, newest] = [marks[0], marks[marks.length - 1]]
  const found: Label[] = [{ y: 0.02, name: 'Now', year: false }]
  if (!oldest || !newest) return found
  const [first, last] = [Date.parse(oldest.at), Date.parse(newest.at)]
  const wanted: Label[] = []
  for (const at of moments(first, last)) {
    const y = share(positionOf(at, marks, size), size)
    const when = new Date(at)
    const year = last - first > 60 * DAY && when.getMonth() === 0
    const name = last - first <= 2 * DAY ? hm(at) : last - first <= 60 * DAY ? DATE.format(when) : year ? String(when.getFullYear()) : MONTH.format(when)
    wanted.push({ y, name, year })
  }
  // Years go first, then from the newest on.
  wanted.sort((a, b) => Number(b.year) - Number(a.year) || a.y - b.y)
  for (const label of wanted) {
    if (label.y > 0.03 && label.y < 0.99 && found.every((f) => Math.abs(f.y - label.y) >= APART)) found.push(label)
  }
  return found.sort((a, b) => a.y - b.y)
}

function moments(first: number, last: number): number[] {
  const span = last - first
  const at = new Date(first)
  at.setMinutes(0, 0, 0)
  if (span > 2 * DAY) at.setHours(0)
  if (span > 60 * DAY) at.setDate(1)
  const found: number[] = []
  const months = span > 700 * DAY ? 6 : span > 300 * DAY ? 3 : 1
  for (let n = 0; n < 5000 && at.getTime() <= last; n++) {
    if (at.getTime() > first && (span <= 60 * DAY || at.getMonth() % months === 0)) found.push(at.getTime())
    if (span <= 2 * DAY) at.setHours(at.getHours() + (span <= DAY / 2 ? 1 : 6))
    else if (span <= 60 * DAY) at.setDate(at.getDate() + (span <= 14 * DAY ? 1 : 7))
    else at.setMonth(at.getMonth() + 1)
  }
  return found
}

/** Between the marks the log is thought of as growing evenly. */
function positionOf(at: number, marks: EventMap['marks'], size: number): number {
  const next = marks.findIndex((m) => Date.parse(m.at) >= at)
  const [a, b] = [marks[next - 1], marks[next]]
  if (!b) return size
  if (!a) return b.seq
  const [from, to] = [Date.parse(a.at), Date.parse(b.at)]
  return a.seq + ((b.seq - a.seq) * (at - from)) / Math.max(1, to - from)
}
