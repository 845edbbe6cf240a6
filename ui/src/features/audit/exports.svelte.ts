import { asFailure, type Backend } from '$lib/backend'
import type { ExportAsk } from '$lib/generated/ExportAsk'
import type { ExportFormat } from '$lib/generated/ExportFormat'
import type { ExportState } from '$lib/generated/ExportState'
import type { Failure } from '$lib/generated/Failure'
import { number, plural, visible } from '$lib/text'
import { hm } from '$lib/time'

const LOOK_MS = 200

export const NAMES: Readonly<Record<ExportFormat, string>> = {
  csv: 'CSV',
  jsonl: 'JSONL',
  ocsf: 'OCSF',
  bundle: 'Evidence pack',
  html: 'Evidence page',
  'review-csv': 'Access review',
  'review-html': 'Access review',
}

const nothing = { grant: null, query: null, after: null, before: null }

/** Everything that may be read, with its proofs. */
export const pack = (): ExportAsk => ({ ...nothing, format: 'bundle' })
/** One access: the page, and the pack beside it. */
export const access = (grant: string): ExportAsk => ({ ...nothing, format: 'html', grant })
/** What a search finds. */
export const lines = (format: 'csv' | 'jsonl' | 'ocsf', query: string): ExportAsk => ({ ...nothing, format, query: query || null })
export const review = (format: 'review-csv' | 'review-html', after: string, before: string): ExportAsk => ({ ...nothing, format, after, before })

/** The one export that this view started last. */
export class Exports {
  ask = $state.raw<ExportAsk | null>(null)
  state = $state.raw<ExportState | null>(null)
  /** It did not begin, or nobody knows how it stands. */
  failure = $state.raw<Failure | null>(null)
  stopping = $state(false)
  #id: number | null = null
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(readonly backend: Backend) {}

  get running(): boolean {
    return this.ask !== null && this.failure === null && !this.state?.finished
  }

  /** Begins one, unless one is under way. */
  async start(ask: ExportAsk): Promise<void> {
    if (this.running) return
    Object.assign(this, { ask, state: null, failure: null, stopping: false })
    try {
      this.#id = await this.backend.exportStart(ask)
      await this.#look()
    } catch (thrown) {
      this.failure = asFailure(thrown)
    }
  }

  cancel(): void {
    if (!this.running || this.#id === null || this.stopping) return
    this.stopping = true
    this.backend.exportCancel(this.#id).catch((thrown: unknown) => {
      this.stopping = false
      this.failure = asFailure(thrown)
    })
  }

  dismiss(): void {
    if (!this.running) Object.assign(this, { ask: null, state: null, failure: null })
  }

  /** No more looking; what is under way goes on in the desktop process. */
  leave(): void {
    clearTimeout(this.#timer)
  }

  async #look(): Promise<void> {
    if (this.#id === null) return
    try {
      this.state = await this.backend.exportState(this.#id)
    } catch (thrown) {
      this.failure = asFailure(thrown)
      return
    }
    if (!this.state.finished) this.#timer = setTimeout(() => void this.#look(), LOOK_MS)
  }

  /** Whole percent; null while it is not known. */
  get percent(): number | null {
    const now = this.state
    return now && now.total > 0 ? Math.min(100, Math.floor((now.done * 100) / now.total)) : null
  }
}

/** What came of an export that is over and did not fail. */
export function told(state: ExportState): { title: string; rest: string; tone: 'ok' | 'warn' | 'danger' } {
  const name = NAMES[state.ask.format]
  if (state.cancelled) return { title: `${name} stopped`, rest: 'Nothing was written.', tone: 'warn' }
  const what = state.ask.format.startsWith('review') ? plural(state.events, 'line') : plural(state.events, 'event')
  const checked = state.verified_to !== null && state.verified_at ? ` From this device’s copy, verified to event ${number(state.verified_to)} at ${hm(state.verified_at)}.` : ' From this device’s copy, which was not verified yet.'
  const more = state.capped ? ' The search may find more, older events than are in it.' : ''
  const rest = `${what} in ${state.paths.map(visible).join(' and ')}.${checked}${more}`
  if (state.finding) return { title: `${name} saved, and does not hold`, rest: `${visible(state.finding)} ${rest}`, tone: 'danger' }
  return { title: `${name} saved`, rest, tone: state.capped ? 'warn' : 'ok' }
}
