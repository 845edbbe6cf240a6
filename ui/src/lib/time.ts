/** Points in time as the window writes them: local first, UTC beside exact ends. */

const cache = new Map<string, Intl.DateTimeFormat>()

function format(options: Intl.DateTimeFormatOptions, utc = false): Intl.DateTimeFormat {
  const key = JSON.stringify(options) + utc
  let made = cache.get(key)
  if (!made) {
    made = new Intl.DateTimeFormat('en-GB', utc ? { ...options, timeZone: 'UTC' } : options)
    cache.set(key, made)
  }
  return made
}

type When = string | number

const at = (when: When) => new Date(when)
const HM = { hour: '2-digit', minute: '2-digit' } as const
const HMS = { ...HM, second: '2-digit' } as const

/** `10:29` */
export const hm = (when: When, utc = false) => format(HM, utc).format(at(when))
/** `10:29:07` */
export const hms = (when: When, utc = false) => format(HMS, utc).format(at(when))
/** `17 Nov 2026` */
export const date = (when: When, utc = false) =>
  format({ day: 'numeric', month: 'short', year: 'numeric' }, utc).format(at(when))

/** `2026-11-17`, local; for grouping. */
export function day(when: When): string {
  const d = at(when)
  return `${d.getFullYear()}-${String(d.getMonth() + 1).padStart(2, '0')}-${String(d.getDate()).padStart(2, '0')}`
}

const DAY = 86_400_000

/** `10:29` today, `Mon 10:29` within a week, `28 Oct` this year, `28 Oct 2025` before. */
export function when(value: When, now: number, withTime = true): string {
  const then = at(value)
  if (day(value) === day(now)) return hm(value)
  if (Math.abs(now - then.getTime()) < 6 * DAY) {
    const weekday = format({ weekday: 'short' }).format(then)
    return withTime ? `${weekday} ${hm(value)}` : weekday
  }
  const sameYear = then.getFullYear() === at(now).getFullYear()
  return format(sameYear ? { day: 'numeric', month: 'short' } : { day: 'numeric', month: 'short', year: 'numeric' }).format(then)
}

/** `just now`, `4 min ago`, `2 h ago`; then as `when`. */
export function ago(value: When, now: number): string {
  const age = short(value, now)
  return /^\d+ (s|min|h)$/.test(age) ? `${age} ago` : age
}

/** `4 min`, `2 h`, or the day; for the corner of a row. */
export function short(value: When, now: number): string {
  const ms = now - at(value).getTime()
  if (ms < 60_000) return 'just now'
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min`
  if (ms < 12 * 3_600_000 && day(value) === day(now)) return `${Math.floor(ms / 3_600_000)} h`
  return when(value, now, false)
}

/** `Today, Tue 17 Nov`; the head of a day in a list. */
export function dayHead(value: When, now: number): string {
  const then = at(value)
  const sameYear = then.getFullYear() === at(now).getFullYear()
  const name = format({
    weekday: 'short', day: 'numeric', month: 'short', ...(sameYear ? {} : { year: 'numeric' }),
  }).format(then).replace(',', '')
  if (day(value) === day(now)) return `Today, ${name}`
  if (day(value) === day(now - DAY)) return `Yesterday, ${name}`
  return name
}

/** `ends 10:36 · 09:36 UTC`, with the day when it is not today. */
export function localAndUtc(value: When, now: number): string {
  const dated = day(value) === day(now) ? '' : `${format({ day: 'numeric', month: 'short' }).format(at(value))} `
  return `${dated}${hm(value)} · ${hm(value, true)} UTC`
}
