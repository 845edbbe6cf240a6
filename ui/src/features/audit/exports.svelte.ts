import { asFailure } from '$lib/backend'
import type { ExportAsk } from '$lib/generated/ExportAsk'
import type { ExportFormat } from '$lib/generated/ExportFormat'
import type { ExportState } from '$lib/generated/ExportState'
import type { Failure } from '$lib/generated/Failure'
import type { App } from '$lib/state/app.svelte'
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

/** The one export that this window started last. It goes on while other views are shown. */
export class Exports {
  ask = $state.raw<ExportAsk | null>(null)
  state = $state.raw<ExportState | null>(null)
  /** It did not begin, or nobody knows how it stands. */
  failure = $state.raw<Failure | null>(null)
  stopping = $state(false)
  #id: number | null = null

  constructor(readonly app: App) {}

  get running(): boolean {
    return this.ask !== null && this.failure === null && !this.state?.finished
  }

  /** Begins one, unless one is under way. */
  async start(ask: ExportAsk): Promise<void> {
    if (this.running) return
    Object.assign(this, { ask, state: null, failure: null, stopping: false })
    try {
      this.#id = await this.app.backend.exportStart(ask)
      await this.#look()
    } catch (thrown) {
      this.failure = asFailure(thrown)
    }
  }

  cancel(): void {
    if (!this.running || this.#id === null || this.stopping) return
    this.stopping = true
    this.app.backend.exportCancel(this.#id).catch((thrown: unknown) => {
      this.stopping = false
      this.failure = asFailure(thrown)
    })
  }

  dismiss(): void {
    if (!this.running) Object.assign(this, { ask: null, state: null, failure: null })
  }

  async #look(): Promise<void> {
    if (this.#id === null) return
    try {
      this.state = await this.app.backend.exportState(this.#id)
    } catch (thrown) {
      this.failure = asFailure(thrown)
      return
    }
    if (!this.state.finished) setTimeout(() => void this.#look(), LOOK_MS)
    else if (this.app.router.route?.view !== 'audit') {
      const { failure, ask } = this.state
      this.app.notice(failure ? `${NAMES[ask.format]} not saved: ${visible(failure.message)}` : told(this.state).title)
    }
  }

  /** Whole percent; null while it is not known. */
  get percent(): number | null {
    const now = this.state
    return now && now.total > 0 ? Math.min(100, Math.floor((now.done * 100) / now.total)) : null
  }
}

const started = new WeakMap<App, Exports>()

/** That of a window. */
export function exportsOf(app: App): Exports {
  const found = started.get(app) ?? new Exports(app)
  started.set(app, found)
  return found
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
