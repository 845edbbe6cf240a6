/** Where somebody wants to go in the log, as they write it. */

export type Wanted = { seq: number } | { at: number; day: boolean }

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']

/** `611,140`, `2026-03-03`, `3 Mar 2026`, `3 Mar`, `today`, each but the first with a time such as `14:30`; null when it is none. */
export function readWanted(text: string, now: number): Wanted | null {
  const words = text.trim().toLowerCase()
  if (/^#?\d{1,3}([, .]\d{3})+$|^#?\d+$/.test(words)) return { seq: Math.max(1, Number(words.replace(/\D/g, ''))) }
  const [, dated = '', hour, minute] = /^(.*?)(?:[ t](\d{1,2}):(\d{2}))?$/.exec(words) ?? []
  const day = readDay(dated.trim().replace(/,/g, ''), now)
  if (!day) return null
  if (hour !== undefined) {
    if (Number(hour) > 23 || Number(minute) > 59) return null
    day.setHours(Number(hour), Number(minute))
  }
  return { at: day.getTime(), day: hour === undefined }
}

function readDay(text: string, now: number): Date | null {
  const today = new Date(now)
  today.setHours(0, 0, 0, 0)
  if (text === 'today') return today
  if (text === 'yesterday') return new Date(today.getFullYear(), today.getMonth(), today.getDate() - 1)
  const iso = /^(\d{4})-(\d{1,2})(?:-(\d{1,2}))?$/.exec(text)
  if (iso) return valid(Number(iso[1]), Number(iso[2]) - 1, Number(iso[3] ?? 1))
  const written = /^(?:(\d{1,2})\.? )?([a-z]{3,})\.?(?: (\d{4}))?$/.exec(text)
  const month = written ? MONTHS.indexOf((written[2] ?? '').slice(0, 3)) : -1
  if (!written || month < 0) return null
  const date = Number(written[1] ?? 1)
  if (written[3]) return valid(Number(written[3]), month, date)
  // Without a year the last one there was.
  const found = valid(today.getFullYear(), month, date)
  return found && found.getTime() > now ? valid(today.getFullYear() - 1, month, date) : found
}

function valid(year: number, month: number, date: number): Date | null {
  const found = new Date(year, month, date)
  return found.getMonth() === month && found.getDate() === date ? found : null
}

/** The cells of a month from Monday on; null before its first day. */
export function monthCells(year: number, month: number): Array<number | null> {
  const before = (new Date(year, month, 1).getDay() + 6) % 7
  const days = new Date(year, month + 1, 0).getDate()
  return [...new Array<null>(before).fill(null), ...Array.from({ length: days }, (_, i) => i + 1)]
}
