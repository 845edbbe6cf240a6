import { asFailure, notSent } from '$lib/backend'
import type { DecisionDraft } from '$lib/generated/DecisionDraft'
import type { Failure } from '$lib/generated/Failure'
import type { Prepared } from '$lib/generated/Prepared'
import type { RequestView } from '$lib/generated/RequestView'
import type { Verdict } from '$lib/generated/Verdict'
import type { App } from '$lib/state/app.svelte'

const PAUSE_MS = 150

/** One decision in the making: what will be signed is prepared anew whenever the draft changes, and sent only by
 *  the button. Sending again after no answer sends the same prepared decision, so it stays one decision. */
export class Decision {
  seconds = $state<number | null>(null)
  note = $state('')
  prepared = $state.raw<Prepared | null>(null)
  /** Why it was not sent or not accepted. */
  failure = $state.raw<Failure | null>(null)
  /** Why it could not be prepared. */
  unprepared = $state.raw<Failure | null>(null)
  sending = $state(false)
  /** The button was pressed without a reason. */
  asked = $state(false)
  #preparedFor = ''

  constructor(readonly app: App, readonly request: RequestView, readonly verdict: Verdict) {
    if (verdict === 'approve') this.seconds = request.allowed_s
  }

  get draft(): DecisionDraft {
    return { request: this.request.id, verdict: this.verdict, duration_s: this.verdict === 'approve' ? this.seconds : null, note: this.note.trim() || null }
  }

  /** Whether everything a decision needs is there. */
  get complete(): boolean {
    return this.verdict === 'approve' ? this.seconds !== null : this.note.trim() !== ''
  }

  get lost(): boolean {
    return this.failure !== null && notSent(this.failure)
  }

  /** For an effect: prepares a moment after the draft changed. */
  follow(): () => void {
    const key = JSON.stringify(this.draft)
    if (!this.complete || key === this.#preparedFor) return () => {}
    const timer = setTimeout(() => void this.prepare(), PAUSE_MS)
    return () => clearTimeout(timer)
  }

  /** Whether what is prepared is what is written now. */
  async prepare(): Promise<boolean> {
    const draft = this.draft
    const key = JSON.stringify(draft)
    if (key === this.#preparedFor && this.prepared) return true
    try {
      const prepared = await this.app.backend.prepareDecision(draft)
      if (key !== JSON.stringify(this.draft)) return false
      this.prepared = prepared
      this.#preparedFor = key
      this.unprepared = null
      return true
    } catch (thrown) {
      this.unprepared = asFailure(thrown)
      return false
    }
  }

  /** Signs and sends. True when the server has it. */
  async sign(): Promise<boolean> {
    this.asked = true
    if (this.sending || !this.complete) return false
    this.sending = true
    this.failure = null
    try {
      if (!(await this.prepare()) || !this.prepared) return false
      await this.app.backend.sendPrepared(this.prepared.id)
      return true
    } catch (thrown) {
      this.failure = asFailure(thrown)
      return false
    } finally {
      this.sending = false
    }
  }
}
