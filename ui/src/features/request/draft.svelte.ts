import { asFailure } from '$lib/backend'
import type { Ask } from '$lib/generated/Ask'
import type { Failure } from '$lib/generated/Failure'
import type { Preview } from '$lib/generated/Preview'
import type { Problem } from '$lib/generated/Problem'
import type { ResourceView } from '$lib/generated/ResourceView'
import type { RoleView } from '$lib/generated/RoleView'
import type { App } from '$lib/state/app.svelte'

/** How long after the last keystroke the preview is asked for. */
const PAUSE_MS = 200

/** A request being written, with what would happen if it were sent. */
export class Draft {
  resource = $state<string | null>(null)
  role = $state<string | null>(null)
  seconds = $state<number | null>(null)
  reason = $state('')
  ticket = $state('')
  preview = $state.raw<Preview | null>(null)
  failure = $state.raw<Failure | null>(null)
  #touched = $state<string[]>([])
  #turn = 0

  constructor(readonly app: App) {}

  /** Starts on a resource: the named role, or the first one that may be asked for. */
  choose(resource: ResourceView, role: string | null): void {
    const named = resource.roles.find((r) => r.id === role && r.may_ask)
    if (this.resource === resource.id && (!named || named.id === this.role)) return
    if (this.resource !== resource.id) this.#touched = []
    this.resource = resource.id
    const first = named ?? resource.roles.find((r) => r.may_ask)
    if (first) this.chooseRole(first)
    else this.role = null
  }

  chooseRole(role: RoleView): void {
    this.role = role.id
    this.seconds = role.default_s
  }

  /** Starts over, once it was sent. */
  clear(): void {
    this.resource = null
    this.reason = ''
    this.ticket = ''
    this.#touched = []
  }

  touch(field: string): void {
    const text = field === 'reason' ? this.reason : this.ticket
    if (text.trim() && !this.#touched.includes(field)) this.#touched = [...this.#touched, field]
  }

  touchAll(): void {
    this.#touched = ['resource', 'role', 'duration', 'reason', 'ticket']
  }

  ask(): Ask {
    const text = (value: string) => value.trim() || null
    return {
      resource: this.resource ?? '', role: this.role ?? '', duration_s: this.seconds ?? 0,
      reason: text(this.reason), ticket: text(this.ticket), extends: null,
    }
  }

  get problems(): Problem[] {
    return this.preview?.problems ?? []
  }

  /** Problems with what was already filled in; a field nobody came to yet is not wrong. */
  get shownProblems(): Problem[] {
    return this.problems.filter((p) => this.#touched.includes(p.field) || !['reason', 'ticket'].includes(p.field))
  }

  problem(field: string): string | null {
    return this.shownProblems.find((p) => p.field === field)?.message ?? null
  }

  /** For an effect: asks for the preview a moment after the draft or the catalogue changed. */
  follow(): () => void {
    const ready = this.role !== null && this.seconds !== null
    void [this.resource, this.role, this.seconds, this.reason, this.ticket, this.app.catalogue.value, this.app.status.value?.online]
    if (!ready) return () => {}
    const timer = setTimeout(() => void this.refresh(), PAUSE_MS)
    return () => clearTimeout(timer)
  }

  /** Asks now; only the newest answer counts. */
  async refresh(): Promise<void> {
    if (this.role === null || this.seconds === null) return
    const turn = ++this.#turn
    try {
      const preview = await this.app.backend.preview(this.ask())
      if (turn !== this.#turn) return
      this.preview = preview
      this.failure = null
    } catch (thrown) {
      if (turn !== this.#turn) return
      this.preview = null
      this.failure = asFailure(thrown)
    }
  }
}

const drafts = new WeakMap<App, Draft>()

/** The one request being written; looking elsewhere does not lose it. */
export function draftOf(app: App): Draft {
  const draft = drafts.get(app) ?? new Draft(app)
  drafts.set(app, draft)
  return draft
}
