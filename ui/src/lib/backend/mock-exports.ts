/** Exports of the mock: each is done when it is next looked at, unless a test holds it. */

import type { ExportAsk } from '$lib/generated/ExportAsk'
import type { ExportState } from '$lib/generated/ExportState'
import type { Status } from '$lib/generated/Status'

const ENDINGS: Record<ExportAsk['format'], string> = {
  csv: 'csv', jsonl: 'jsonl', ocsf: 'ocsf.jsonl', bundle: 'evidence.json', html: 'evidence.html', 'review-csv': 'csv', 'review-html': 'html',
}

export class MockExports {
  states: ExportState[] = []
  /** Stay under way, at so many events done. */
  held: { done: number; total: number } | null = null
  /** What the next one fails with. */
  failure: ExportState['failure'] = null

  start(ask: ExportAsk): number {
    const id = this.states.length + 1
    this.states.push({
      id, ask, done: 0, total: 0, finished: false, cancelled: false, failure: null, paths: [], events: 0, verified_to: null,
      verified_at: null, capped: false, finding: null,
    })
    return id
  }

  /** Null when there is none. */
  state(id: number, { verified_to, verified_at }: Pick<Status, 'verified_to' | 'verified_at'>): ExportState | null {
    const found = this.states.find((s) => s.id === id)
    if (!found || found.finished) return found ?? null
    if (this.held) return Object.assign(found, this.held)
    if (this.failure) return Object.assign(found, { finished: true, failure: this.failure })
    const name = `/home/mara/Downloads/${found.ask.grant ?? 'gatepass-log-2026-11-17'}.${ENDINGS[found.ask.format]}`
    const paths = found.ask.format === 'html' ? [name, name.replace(/html$/, 'json')] : [name]
    const [done, total, events] = [1200, 1200, 1200]
    return Object.assign(found, { done, total, events, finished: true, paths, verified_to, verified_at })
  }

  cancel(id: number): void {
    const found = this.states.find((s) => s.id === id)
    if (found && !found.finished) Object.assign(found, { finished: true, cancelled: true })
  }
}
