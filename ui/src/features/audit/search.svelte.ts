import { asFailure } from '$lib/backend'
import type { EventMap } from '$lib/generated/EventMap'
import type { EventPlace } from '$lib/generated/EventPlace'
import type { EventView } from '$lib/generated/EventView'
import type { Failure } from '$lib/generated/Failure'
import type { App } from '$lib/state/app.svelte'
import { day } from '$lib/time'
import { untrack } from 'svelte'
import { layout, midnights, type Layout } from './layout'
import { readTokens, writeQuery, type FilterKey, type Token } from './query'

/** Rows are read in pieces of so many, and so many pieces are kept. */
const PIECE = 100
const KEPT = 40
/** After this a line says that something is being looked for. */
const SLOW_MS = 300
const PAUSE_MS = 60

/** What a search came to, all of one moment. */
export interface Result {
  query: string
  map: EventMap
  layout: Layout
  pieces: Map<number, EventView[]>
}

/** A search in the cached log. Any place in its result is read when it is looked at. */
export class Search {
  tokens = $state.raw<Token[]>([])
  words = $state('')
  result = $state.raw<Result | null>(null)
  failure = $state.raw<Failure | null>(null)
  slow = $state(false)
  #turn = 0
  #wanted = new Map<number, Promise<void>>()
  #seen = { from: 0, below: 0 }
  #starts: number[] = []
  #today = ''

  constructor(readonly app: App) {}

  get query(): string {
    return writeQuery(this.tokens, this.words)
  }

  get total(): number {
    return this.result?.map.total ?? 0
  }

  /** Takes over a whole query, as a link or a saved search holds it. */
  take(text: string): void {
    const { tokens, rest } = readTokens(text)
    this.tokens = tokens
    this.words = rest
  }

  /** Turns filters that were typed to their end into tokens. */
  settle(): void {
    if (!/[a-z]+:("[^"]+"|[^\s"]+)\s$/.test(this.words)) return
    const { tokens, rest } = readTokens(this.words)
    if (tokens.length === 0) return
    this.tokens = [...this.tokens, ...tokens]
    this.words = rest
  }

  add(key: FilterKey, value: string): void {
    const once = key === 'after' || key === 'before'
    this.tokens = [...this.tokens.filter((t) => !(t.key === key && (once || (t.value === value && !t.not)))), { key, value }]
  }

  drop(token: Token): void {
    this.tokens = this.tokens.filter((t) => t !== token)
  }

  clear(): void {
    this.tokens = []
    this.words = ''
  }

  /** For an effect: reads again a moment after the query or the log changed. */
  follow(): () => void {
    const query = this.query
    void this.app.eventsVersion
    // What is found is no reason to look again.
    const pause = untrack(() => (this.result === null ? 0 : PAUSE_MS))
    const timer = setTimeout(() => void this.read(query), pause)
    return () => clearTimeout(timer)
  }

  /** What was found before stays until this is there as a whole. */
  async read(query = this.query): Promise<void> {
    const turn = ++this.#turn
    const timer = setTimeout(() => (this.slow = turn === this.#turn), SLOW_MS)
    try {
      const { backend } = this.app
      const [starts, first] = await Promise.all([this.#days(), backend.eventSlice({ text: query, offset: 0, limit: PIECE })])
      const map = await backend.eventMap(query, starts)
      if (turn !== this.#turn) return
      // What was read before the log grew would stand in the wrong place.
      const pieces = new Map(first.total === map.total ? [[0, first.items]] : [])
      // Rows that are looked at stay, and with them what has the focus.
      for (const piece of this.#looked(query, map.total)) {
        const page = await backend.eventSlice({ text: query, offset: piece * PIECE, limit: PIECE })
        if (page.total === map.total) pieces.set(piece, page.items)
      }
      if (turn !== this.#turn) return
      this.#wanted.clear()
      this.result = { query, map, layout: layout(starts, map.days), pieces }
      this.failure = null
    } catch (thrown) {
      if (turn === this.#turn) this.failure = asFailure(thrown)
    } finally {
      clearTimeout(timer)
      if (turn === this.#turn) this.slow = false
    }
  }

  /** The pieces with what is looked at, by where that is once there are `total`: the log grows at the top. */
  #looked(query: string, total: number): number[] {
    if (this.result?.query !== query) return []
    const grown = total - this.total
    const from = Math.floor(Math.max(0, this.#seen.from + grown) / PIECE)
    const below = Math.min(this.#seen.below + grown, total)
    const pieces = []
    for (let piece = from; piece * PIECE < below; piece++) if (piece > 0) pieces.push(piece)
    return pieces
  }

  /** When the days of this log begin. */
  async #days(): Promise<number[]> {
    const now = this.app.clock.read()
    if (this.#starts.length === 0 || this.#today !== day(now)) {
      const { marks } = await this.app.backend.eventMap('', [])
      const first = marks[0]?.at
      this.#starts = first ? midnights(Date.parse(first), now) : []
      this.#today = day(now)
    }
    return this.#starts
  }

  /** The event at a place of the result, when it was read already. */
  row(place: number): EventView | undefined {
    return this.result?.pieces.get(Math.floor(place / PIECE))?.[place % PIECE]
  }

  /** Has the places read that are looked at. */
  async look(from: number, below: number): Promise<void> {
    this.#seen = { from, below }
    await this.want(from, below)
  }

  /** Has these places read, as far as they are not yet. */
  async want(from: number, below: number): Promise<void> {
    const waiting = []
    for (let piece = Math.floor(from / PIECE); piece * PIECE < Math.min(below, this.total); piece++) {
      if (this.result?.pieces.has(piece)) continue
      const asked = this.#wanted.get(piece) ?? this.#piece(piece)
      this.#wanted.set(piece, asked)
      waiting.push(asked)
    }
    await Promise.all(waiting)
  }

  async #piece(piece: number): Promise<void> {
    const shown = this.result
    if (!shown) return
    try {
      const page = await this.app.backend.eventSlice({ text: shown.query, offset: piece * PIECE, limit: PIECE })
      const now = this.result
      if (!now || now.map !== shown.map) return
      if (page.total !== now.map.total) return void this.read(shown.query)
      const pieces = new Map([...now.pieces, [piece, page.items] as const].slice(-KEPT))
      this.result = { ...now, pieces }
    } catch (thrown) {
      this.failure = asFailure(thrown)
    } finally {
      if (this.result?.map === shown.map) this.#wanted.delete(piece)
    }
  }

  /** The place of an event in the result, where it is or would be. */
  async placeOf(seq: number): Promise<EventPlace | null> {
    for (const [piece, items] of this.result?.pieces ?? []) {
      const at = items.findIndex((e) => e.seq === seq)
      const found = items[at]
      if (found) return { seq, at: found.at, offset: piece * PIECE + at }
    }
    return this.app.backend.eventNumbered(this.result?.query ?? '', seq)
  }
}
