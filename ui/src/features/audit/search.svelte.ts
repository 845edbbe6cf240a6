import type { EventView } from '$lib/generated/EventView'
import { asFailure } from '$lib/backend'
import type { Failure } from '$lib/generated/Failure'
import type { App } from '$lib/state/app.svelte'

const PAGE = 100
const PAUSE_MS = 150
export const FILTERS = ['person', 'resource', 'kind', 'outcome', 'env', 'after', 'before'] as const
export type FilterKey = (typeof FILTERS)[number]

export interface Token {
  key: FilterKey
  value: string
}

/** Splits what was typed into typed filters and the rest. A value with spaces stands in double quotes. */
export function readTokens(text: string): { tokens: Token[]; rest: string } {
  const tokens: Token[] = []
  const rest = text.replace(/(^|\s)([a-z]+):("[^"]+"|[^\s"]+)(?=\s|$)/g, (whole, space: string, key: string, value: string) => {
    if (!(FILTERS as readonly string[]).includes(key)) return whole
    tokens.push({ key: key as FilterKey, value: value.replace(/^"|"$/g, '') })
    return space
  })
  return { tokens, rest: rest.replace(/\s+/g, ' ').trim() }
}

/** The query text for these filters and words. */
export function writeQuery(tokens: readonly Token[], words: string): string {
  const filters = tokens.map((t) => `${t.key}:${/\s/.test(t.value) ? `"${t.value}"` : t.value}`)
  return [...filters, words.trim()].filter(Boolean).join(' ')
}

/** A search in the cached log, page by page, newest first. */
export class Search {
  tokens = $state.raw<Token[]>([])
  words = $state('')
  items = $state.raw<EventView[] | null>(null)
  total = $state(0)
  failure = $state.raw<Failure | null>(null)
  more = $state(false)
  #turn = 0

  constructor(readonly app: App) {}

  get query(): string {
    return writeQuery(this.tokens, this.words)
  }

  /** Takes over a whole query, as a link holds it. */
  take(text: string): void {
    const { tokens, rest } = readTokens(text)
    this.tokens = tokens
    this.words = rest
  }

  /** Turns filters that were typed to their end into tokens. */
  settle(): void {
    if (!/[a-z]+:\S+\s$/.test(this.words)) return
    const { tokens, rest } = readTokens(this.words)
    if (tokens.length === 0) return
    this.tokens = [...this.tokens, ...tokens]
    this.words = rest
  }

  add(key: FilterKey, value: string): void {
    this.tokens = [...this.tokens.filter((t) => !(t.key === key && (t.value === value || key === 'after' || key === 'before'))), { key, value }]
  }

  drop(token: Token): void {
    this.tokens = this.tokens.filter((t) => t !== token)
  }

  /** For an effect: reads the first page a moment after the query or the log changed. */
  follow(): () => void {
    const query = this.query
    void this.app.eventsVersion
    const timer = setTimeout(() => void this.read(query), this.items === null ? 0 : PAUSE_MS)
    return () => clearTimeout(timer)
  }

  async read(query = this.query): Promise<void> {
    const turn = ++this.#turn
    try {
      // As many as were already on the screen, so that a new event does not take the others away.
      const limit = Math.max(PAGE, Math.min(this.items?.length ?? 0, 1000))
      const page = await this.app.backend.events({ text: query, before: null, limit })
      if (turn !== this.#turn) return
      this.items = page.items
      this.total = page.total
      this.more = page.items.length >= limit && page.items.length < page.total
      this.failure = null
    } catch (thrown) {
      if (turn === this.#turn) this.failure = asFailure(thrown)
    }
  }

  /** Reads the page after the last one shown. */
  async next(): Promise<void> {
    const last = this.items?.[this.items.length - 1]
    if (!this.more || !last) return
    this.more = false
    const turn = this.#turn
    try {
      const page = await this.app.backend.events({ text: this.query, before: last.seq, limit: PAGE })
      if (turn !== this.#turn) return
      this.items = [...(this.items ?? []), ...page.items]
      this.more = page.items.length >= PAGE
    } catch (thrown) {
      this.failure = asFailure(thrown)
    }
  }
}
