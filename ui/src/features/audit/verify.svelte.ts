import { asFailure, type Backend } from '$lib/backend'
import type { Failure } from '$lib/generated/Failure'
import type { VerifyProgress } from '$lib/generated/VerifyProgress'
import type { VerifyReport } from '$lib/generated/VerifyReport'
import type { App } from '$lib/state/app.svelte'
import { number, plural, visible } from '$lib/text'

const LOOK_MS = 200

/** One check of what this device holds of the log: under way, and what came of it. */
export class Verify {
  running = $state(false)
  stopping = $state(false)
  progress = $state.raw<VerifyProgress | null>(null)
  report = $state.raw<VerifyReport | null>(null)
  failure = $state.raw<Failure | null>(null)

  constructor(readonly backend: Backend) {}

  async start(): Promise<void> {
    if (this.running) return
    Object.assign(this, { running: true, stopping: false, progress: null, report: null, failure: null })
    const look = setInterval(() => {
      // Without it the check goes on all the same.
      this.backend.verifyProgress().then((now) => (this.progress = this.running ? now : null), () => {})
    }, LOOK_MS)
    try {
      this.report = await this.backend.verify(true)
    } catch (thrown) {
      this.failure = asFailure(thrown)
    }
    clearInterval(look)
    this.running = false
    this.progress = null
  }

  stop(): void {
    if (!this.running || this.stopping) return
    this.stopping = true
    this.backend.verifyCancel().catch((thrown: unknown) => {
      this.stopping = false
      this.failure = asFailure(thrown)
    })
  }

  dismiss(): void {
    this.report = null
    this.failure = null
  }

  /** Whole percent; null while it is not known. */
  get percent(): number | null {
    const now = this.progress
    return now && now.total > 0 ? Math.min(100, Math.floor((now.done * 100) / now.total)) : null
  }
}

const begun = new WeakMap<App, Verify>()

/** That of a window: it goes on while other views are shown. */
export function verifyOf(app: App): Verify {
  const found = begun.get(app) ?? new Verify(app.backend)
  begun.set(app, found)
  return found
}

/** What was found, as a title and what it rests on. */
export function told(report: VerifyReport): { title: string; rest: string } {
  const { finding } = report
  if (finding) {
    const where = finding.seq === null ? 'The log does not hold' : `Event ${number(finding.seq)} does not hold`
    return { title: where, rest: visible(finding.message) }
  }
  if (report.cancelled) return { title: 'Stopped', rest: 'Nothing wrong was found as far as it came. That is not all of it.' }
  const what = [plural(report.signatures, 'signature'), plural(report.decisions, 'decision'), plural(report.grants, 'access', 'accesses')]
  const checked = `${what[0]}, ${what[1]} and ${what[2]} checked in ${plural(report.events, 'event')} that you may read`
  const head = report.signed_size === null ? 'No head was signed yet.' : `The tree is the one that was signed at ${number(report.signed_size)}.`
  return {
    title: report.full ? `Everything holds to event ${number(report.size)}` : `Events ${number(report.from + 1)} to ${number(report.size)} hold`,
    rest: `${checked}. ${head}`,
  }
}
