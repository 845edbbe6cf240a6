/** Durations in whole seconds, as people write and read them. */

const UNITS: Readonly<Record<string, number>> = {
  s: 1, sec: 1, secs: 1, second: 1, seconds: 1,
  m: 60, min: 60, mins: 60, minute: 60, minutes: 60,
  h: 3600, hr: 3600, hrs: 3600, hour: 3600, hours: 3600,
  d: 86_400, day: 86_400, days: 86_400,
}

/** Seconds in `90s`, `30m`, `1h 30m`, `1d`; null when it is not a duration above zero. */
export function parseDuration(text: string): number | null {
  const trimmed = text.trim().toLowerCase()
  if (!/^(\d+\s*[a-z]+\s*)+$/.test(trimmed)) return null
  let total = 0
  for (const [, digits, unit] of trimmed.matchAll(/(\d+)\s*([a-z]+)/g)) {
    const size = UNITS[unit ?? '']
    if (size === undefined) return null
    total += Number(digits) * size
  }
  return total > 0 && total < 2 ** 32 ? total : null
}

const SHORT = [[86_400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']] as const
const LONG = [[86_400, 'day'], [3600, 'hour'], [60, 'minute'], [1, 'second']] as const

function split(seconds: number, units: ReadonlyArray<readonly [number, string]>): Array<[number, string]> {
  const parts: Array<[number, string]> = []
  let rest = seconds
  for (const [size, name] of units) {
    const count = Math.floor(rest / size)
    rest %= size
    if (count > 0) parts.push([count, name])
  }
  return parts.slice(0, 2)
}

/** `1 h 30 min`, the largest two units. */
export function shortDuration(seconds: number): string {
  return split(seconds, SHORT).map(([n, unit]) => `${n} ${unit}`).join(' ') || '0 s'
}

/** `1 hour 30 minutes`, for sentences. */
export function longDuration(seconds: number): string {
  return split(seconds, LONG).map(([n, unit]) => `${n} ${unit}${n === 1 ? '' : 's'}`).join(' ') || '0 seconds'
}

/** `m:ss` under one hour, `h:mm:ss` above; never negative. */
export function countdown(ms: number): string {
  const total = Math.max(0, Math.ceil(ms / 1000))
  const s = String(total % 60).padStart(2, '0')
  const m = Math.floor(total / 60) % 60
  const h = Math.floor(total / 3600)
  return h > 0 ? `${h}:${String(m).padStart(2, '0')}:${s}` : `${m}:${s}`
}

const STEPS = [
  1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 14_400, 28_800, 43_200, 86_400,
  172_800, 345_600, 604_800,
]

/** Lengths to offer for a role: one below its default, the default, some above, and the longest. */
export function choices(min: number, preferred: number, max: number): number[] {
  const within = STEPS.filter((s) => s >= min && s <= max)
  const below = within.filter((s) => s <= preferred / 2).slice(-1)
  const above: number[] = []
  for (let next = preferred; above.length < 3; ) {
    const step = within.find((s) => s >= next * 2)
    if (step === undefined) break
    above.push(step)
    next = step
  }
  const some = [...below, preferred, ...above, max].filter((s) => s >= min && s <= max)
  return [...new Set(some)].sort((a, b) => a - b)
}

/** The step after the longest that a role allows, to show where it stops; null when it is beyond a day. */
export function beyond(max: number): number | null {
  const step = STEPS.find((s) => s >= max * 2)
  return step === undefined || step > 86_400 ? null : step
}

/** Lengths an approver can choose: at or below what was asked for. */
export function shorter(asked: number): number[] {
  return [...STEPS.filter((s) => s < asked).slice(-3), asked]
}
