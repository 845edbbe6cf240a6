/** Shows control and bidirectional formatting characters, so that a text cannot pretend to be another.
 *  The list is that of `gatepass_core::text::visible`. Newlines and tabs stay. */
export function visible(text: string): string {
  let out = ''
  for (const c of text) {
    const code = c.codePointAt(0) ?? 0
    if (c === '\n' || c === '\t') out += c
    else if (code <= 0x1f) out += String.fromCodePoint(0x2400 + code)
    else if (code === 0x7f) out += '\u2421'
    else if (hidden(code)) out += `⟨U+${code.toString(16).toUpperCase().padStart(4, '0')}⟩`
    else out += c
  }
  return out
}

const HIDDEN: ReadonlyArray<readonly [number, number]> = [
  [0x80, 0x9f],
  [0xad, 0xad],
  [0x61c, 0x61c],
  [0x200b, 0x200f],
  [0x2028, 0x202e],
  [0x2060, 0x206f],
  [0xfeff, 0xfeff],
  [0xfff9, 0xfffb],
  [0xe0000, 0xe007f],
]

function hidden(code: number): boolean {
  return HIDDEN.some(([from, to]) => code >= from && code <= to)
}

/** Up to two initials of a name, for a picture of a person. */
export function initials(name: string): string {
  const words = visible(name).split(/\s+/).filter(Boolean)
  const first = words[0] ?? '?'
  const last = words.length > 1 ? words[words.length - 1] : undefined
  return ([...first][0] ?? '?').toUpperCase() + (last ? ([...last][0] ?? '').toUpperCase() : '')
}

/** One of six quiet tints, the same for a person everywhere. */
export function tint(id: string): number {
  let hash = 0
  for (let i = 0; i < id.length; i++) hash = (hash * 31 + id.charCodeAt(i)) >>> 0
  return (hash % 6) + 1
}

/** `9f2c…41be` */
export function shortHash(hash: string): string {
  return hash.length > 12 ? `${hash.slice(0, 4)}…${hash.slice(-4)}` : hash
}

/** `5f0a 91c2 6e3d … 7be4` */
export function spacedHash(hash: string): string {
  return hash.length < 16 ? hash : `${hash.slice(0, 4)} ${hash.slice(4, 8)} ${hash.slice(8, 12)} … ${hash.slice(-4)}`
}

const COUNT_WORDS = ['No one', 'One', 'Two', 'Three', 'Four', 'Five', 'Six']

/** `One`, `Two`, …; figures above six. */
export function countWord(n: number): string {
  return COUNT_WORDS[n] ?? String(n)
}

/** `a`, `a or b`, `a, b or c` */
export function list(items: readonly string[], glue = 'or'): string {
  if (items.length < 2) return items[0] ?? ''
  return `${items.slice(0, -1).join(', ')} ${glue} ${items[items.length - 1]}`
}

/** `1 event`, `2 events` */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${number(n)} ${n === 1 ? one : many}`
}

const NUMBER = new Intl.NumberFormat('en-GB')

/** `48,213` */
export function number(n: number): string {
  return NUMBER.format(n)
}

const ORDINALS = ['', '1st', '2nd', '3rd']

/** `2nd` */
export function ordinal(n: number): string {
  return ORDINALS[n] ?? `${n}th`
}

/** The text with a capital at its start. */
export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
