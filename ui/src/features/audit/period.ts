/** Periods in whole days of this computer. */

import { day } from '$lib/time'

export interface Period {
  name: string
  /** Both as `2026-11-17`, and both in it. */
  from: string
  to: string
}

/** Those that are asked for: last month, this one, last quarter, and the year so far. */
export function periods(now: number): Period[] {
  const today = new Date(now)
  const [year, month] = [today.getFullYear(), today.getMonth()]
  const of = (y: number, m: number, d: number) => day(new Date(y, m, d).getTime())
  const quarter = month - (month % 3)
  return [
    { name: 'Last month', from: of(year, month - 1, 1), to: of(year, month, 0) },
    { name: 'This month', from: of(year, month, 1), to: day(now) },
    { name: 'Last quarter', from: of(year, quarter - 3, 1), to: of(year, quarter, 0) },
    { name: 'This year', from: of(year, 0, 1), to: day(now) },
  ]
}

/** When a day begins here; null when there is no such day. */
export function midnight(text: string): number | null {
  const [, y, m, d] = /^\s*(\d{4})-(\d{2})-(\d{2})\s*$/.exec(text) ?? []
  if (!y || !m || !d) return null
  const at = new Date(Number(y), Number(m) - 1, Number(d))
  return at.getMonth() === Number(m) - 1 && at.getDate() === Number(d) ? at.getTime() : null
}
