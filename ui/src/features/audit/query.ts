/** A search as it is written and as tokens. */

export const FILTERS = ['person', 'resource', 'role', 'kind', 'outcome', 'env', 'after', 'before'] as const
export type FilterKey = (typeof FILTERS)[number]

export interface Token {
  key: FilterKey
  value: string
  /** What must not be. */
  not?: true
}

const isFilter = (key: string): key is FilterKey => (FILTERS as readonly string[]).includes(key)

/** Splits what was typed into typed filters and the rest. A value with spaces stands in double quotes. */
export function readTokens(text: string): { tokens: Token[]; rest: string } {
  const tokens: Token[] = []
  const rest = text.replace(/(^|\s)(-?)([a-z]+):("[^"]+"|[^\s"]+)(?=\s|$)/g, (whole, space: string, not: string, key: string, value: string) => {
    if (!isFilter(key)) return whole
    tokens.push({ key, value: value.replace(/^"|"$/g, ''), ...(not && { not: true as const }) })
    return space
  })
  return { tokens, rest: rest.replace(/\s+/g, ' ').trim() }
}

export function writeToken({ key, value, not }: Token): string {
  return `${not ? '-' : ''}${key}:${/\s/.test(value) ? `"${value}"` : value}`
}

/** The query text for these filters and words. */
export function writeQuery(tokens: readonly Token[], words: string): string {
  return [...tokens.map(writeToken), words.trim()].filter(Boolean).join(' ')
}
