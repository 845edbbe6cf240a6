/** Where the rows of a long list stand. Only those that are seen are ever made. */

export const ROW = 32
export const HEAD = 28
const FOOT = 4

/** Events of one day, one after the other. */
export interface Day {
  /** When it begins, milliseconds; of no use in a list that is not told apart by days. */
  at: number
  /** The place of its first event in the list. */
  first: number
  count: number
  top: number
}

export interface Layout {
  days: Day[]
  height: number
}

/** Local midnights from the day of `first` to that of `now`. */
export function midnights(first: number, now: number): number[] {
  const found: number[] = []
  const day = new Date(first)
  day.setHours(0, 0, 0, 0)
  while (day.getTime() <= now) {
    found.push(day.getTime())
    day.setDate(day.getDate() + 1)
  }
  return found
}

/** `counts`: how many events there are before the first midnight and from each on. Newest first. */
export function layout(starts: readonly number[], counts: readonly number[]): Layout {
  const days: Day[] = []
  let [first, top] = [0, 0]
  for (let i = counts.length - 1; i >= 0; i--) {
    const count = counts[i] ?? 0
    if (count === 0) continue
    days.push({ at: starts[i - 1] ?? 0, first, count, top })
    first += count
    top += HEAD + count * ROW + FOOT
  }
  return { days, height: top }
}

/** The day that `test` is true for first, of days ordered so that it stays true. */
function search(days: readonly Day[], test: (day: Day) => boolean): number {
  let [low, high] = [0, days.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (test(days[middle] as Day)) high = middle
    else low = middle + 1
  }
  return low
}

/** The day that a height falls into. */
export function dayAt({ days }: Layout, y: number): number {
  return Math.max(0, search(days, (d) => d.top > y) - 1)
}

/** The height at which the row of an event begins. */
export function topOf({ days }: Layout, place: number): number {
  const day = days[Math.max(0, search(days, (d) => d.first > place) - 1)]
  return day ? day.top + HEAD + (place - day.first) * ROW : 0
}

/** The event whose row a height falls into, or the next one. */
export function placeAt(list: Layout, y: number): number {
  const day = list.days[dayAt(list, y)]
  if (!day) return 0
  return day.first + Math.min(day.count - 1, Math.max(0, Math.floor((y - day.top - HEAD) / ROW)))
}

/** Rows of one day that are to be made. */
export interface Piece {
  day: Day
  /** Places in the list. */
  from: number
  below: number
}

export function pieces(list: Layout, from: number, to: number): Piece[] {
  const found: Piece[] = []
  for (let i = dayAt(list, from); i < list.days.length; i++) {
    const day = list.days[i] as Day
    if (day.top > to) break
    const row = (y: number) => Math.floor((y - day.top - HEAD) / ROW)
    const [first, below] = [Math.max(0, row(from)), Math.min(day.count, row(to) + 1)]
    if (below > 0) found.push({ day, from: day.first + Math.min(first, day.count), below: day.first + below })
  }
  return found
}

/** No element is made higher than this: engines lose count, of pixels or of their fractions. */
export const TALLEST = 8_000_000
/** Near the ends a pixel is a pixel. */
const ENDS = 1_000_000

/** From what is scrolled to where in the list that is. */
export function fromScroll(scrolled: number, height: number, view: number): number {
  if (height <= TALLEST) return scrolled
  const [range, whole] = [TALLEST - view, height - view]
  if (scrolled <= ENDS) return scrolled
  if (scrolled >= range - ENDS) return whole - (range - scrolled)
  return ENDS + ((scrolled - ENDS) * (whole - 2 * ENDS)) / (range - 2 * ENDS)
}

/** The other way. */
export function toScroll(at: number, height: number, view: number): number {
  if (height <= TALLEST) return at
  const [range, whole] = [TALLEST - view, height - view]
  if (at <= ENDS) return at
  if (at >= whole - ENDS) return range - (whole - at)
  return ENDS + ((at - ENDS) * (range - 2 * ENDS)) / (whole - 2 * ENDS)
}
