import { asFailure } from '$lib/backend'
import type { Failure } from '$lib/generated/Failure'

/** A quarter of a second feels like nothing; after this a line says that something is being loaded. */
const SLOW_MS = 300

/** Something read from the backend. What was read before stays while it is read again, and when that fails. */
export class Loaded<T> {
  value = $state.raw<T | null>(null)
  failure = $state.raw<Failure | null>(null)
  /** It has been loading for longer than a person would not notice. */
  slow = $state(false)
  #fetch: () => Promise<T>
  #turn = 0

  constructor(fetch: () => Promise<T>) {
    this.#fetch = fetch
  }

  /** Reads again; only the newest of several answers counts. */
  async reload(): Promise<void> {
    const turn = ++this.#turn
    const timer = setTimeout(() => (this.slow = turn === this.#turn), SLOW_MS)
    try {
      const value = await this.#fetch()
      if (turn !== this.#turn) return
      this.value = value
      this.failure = null
    } catch (thrown) {
      if (turn === this.#turn) this.failure = asFailure(thrown)
    } finally {
      clearTimeout(timer)
      if (turn === this.#turn) this.slow = false
    }
  }

  /** Puts a fresher value in place, as an answer to a write. */
  set(value: T): void {
    this.#turn++
    this.value = value
    this.failure = null
    this.slow = false
  }

  /** Forgets what was read. */
  clear(): void {
    this.#turn++
    this.value = null
    this.failure = null
    this.slow = false
  }
}
