import { expect, test } from 'vitest'
import { readWanted } from './jump'
import { HEAD, ROW, TALLEST, fromScroll, layout, midnights, pieces, placeAt, toScroll, topOf } from './layout'
import { labels, positionAt, share } from './rail'

const DAY = 86_400_000

test('every place has its height and every height its place', () => {
  const starts = [1, 2, 3, 4].map((n) => n * DAY)
  const list = layout(starts, [0, 3, 0, 1, 70])
  expect(list.days.map((d) => [d.at, d.first, d.count])).toEqual([[4 * DAY, 0, 70], [3 * DAY, 70, 1], [DAY, 71, 3]])
  for (let place = 0; place < 74; place++) {
    expect(placeAt(list, topOf(list, place))).toBe(place)
    expect(placeAt(list, topOf(list, place) + ROW - 1)).toBe(place)
  }
  expect(topOf(list, 70)).toBe(HEAD + 70 * ROW + 4 + HEAD)
  const seen = pieces(list, 10 * ROW, topOf(list, 71))
  expect(seen.map((p) => [p.from, p.below])).toEqual([[9, 70], [70, 71], [71, 72]])
  expect(pieces(layout([], [0]), 0, 500)).toEqual([])
})

test('a list higher than an element may be is scrolled through from end to end', () => {
  const [height, view] = [1_048_213 * ROW, 600]
  expect(fromScroll(0, height, view)).toBe(0)
  expect(fromScroll(TALLEST - view, height, view)).toBe(height - view)
  let last = -1
  for (let scrolled = 0; scrolled <= TALLEST - view; scrolled += 9_973) {
    const at = fromScroll(scrolled, height, view)
    expect(at).toBeGreaterThan(last)
    expect(toScroll(at, height, view)).toBeCloseTo(scrolled, 3)
    last = at
  }
  // Near the ends a pixel is a pixel.
  expect(fromScroll(500, height, view)).toBe(500)
})

test('days begin at local midnights, in every week of the year', () => {
  const found = midnights(Date.parse('2026-01-03T15:00:00'), Date.parse('2026-12-30T01:00:00'))
  expect(found).toHaveLength(362)
  expect(found.every((at) => new Date(at).getHours() === 0)).toBe(true)
})

test('where somebody wants to go is read as they write it', () => {
  const now = new Date(2026, 10, 17, 10, 30).getTime()
  const at = (y: number, m: number, d: number, h = 0, min = 0) => new Date(y, m, d, h, min).getTime()
  expect(readWanted('611,140', now)).toEqual({ seq: 611_140 })
  expect(readWanted('#42', now)).toEqual({ seq: 42 })
  expect(readWanted('2026-03-03', now)).toEqual({ at: at(2026, 2, 3), day: true })
  expect(readWanted('3 Mar 2026', now)).toEqual({ at: at(2026, 2, 3), day: true })
  expect(readWanted('3 March, 2026 14:30', now)).toEqual({ at: at(2026, 2, 3, 14, 30), day: false })
  expect(readWanted('24 Dec', now)).toEqual({ at: at(2025, 11, 24), day: true })
  expect(readWanted('yesterday', now)).toEqual({ at: at(2026, 10, 16), day: true })
  for (const wrong of ['', 'soon', '31 Feb 2026', '2026-13-01', '3 Mar 2026 25:00']) expect(readWanted(wrong, now)).toBeNull()
})

test('the rail shows years and halves of them in their places, and none over another', () => {
  const [first, days] = [new Date(2024, 8, 1).getTime(), 800]
  const marks = Array.from({ length: 257 }, (_, n) => ({ at: new Date(first + (n / 256) * days * DAY).toISOString(), seq: 1 + Math.round((n / 256) * 999_999) }))
  const found = labels({ marks, size: 1_000_000 })
  expect(found.map((l) => l.name)).toEqual(['Now', 'Jul', '2026', 'Jul', '2025'])
  const at2026 = (new Date(2026, 0, 1).getTime() - first) / (days * DAY)
  expect(found.find((l) => l.name === '2026')?.y).toBeCloseTo(1 - at2026, 2)
  expect(labels({ marks: marks.slice(0, 1), size: 1 })).toHaveLength(1)
  expect([share(1, 1000), share(1000, 1000)]).toEqual([1, 0])
  for (const seq of [1, 7, 999, 1000]) expect(positionAt(share(seq, 1000), 1000)).toBe(seq)
})
