import type { Ask } from '$lib/generated/Ask'
import type { Code } from '$lib/generated/Code'
import type { DecisionDraft } from '$lib/generated/DecisionDraft'
import type { DriftView } from '$lib/generated/DriftView'
import type { EventSlice } from '$lib/generated/EventSlice'
import type { EventView } from '$lib/generated/EventView'
import type { Failure } from '$lib/generated/Failure'
import type { GrantView } from '$lib/generated/GrantView'
import type { Holdings } from '$lib/generated/Holdings'
import type { Person } from '$lib/generated/Person'
import type { PersonRef } from '$lib/generated/PersonRef'
import type { Preview } from '$lib/generated/Preview'
import type { Problem } from '$lib/generated/Problem'
import type { RequestView } from '$lib/generated/RequestView'
import type { RoleView } from '$lib/generated/RoleView'
import type { SavedSearch } from '$lib/generated/SavedSearch'
import type { Settings } from '$lib/generated/Settings'
import type { Status } from '$lib/generated/Status'
import type { VerifyProgress } from '$lib/generated/VerifyProgress'
import type { VerifyReport } from '$lib/generated/VerifyReport'
import type { Backend, Topic } from './index'
import { count, listLog, map, page, pageBelow, place, type Log } from './mock-search'
import { detail, mismatch, report } from './mock-audit'
import { MockExports } from './mock-exports'
import { CATALOGUE, P, SETTINGS, digest, drift, iso, makeGrant, makeRequest, need, newId, status, use, world } from './mock-data'

const refuse = (code: Code, message: string): never => {
  throw { code, message } satisfies Failure
}
const copy = <T>(value: T): T => structuredClone(value)

/** The port without a desktop process: a small Gatepass in memory, for tests and for looking at pages in a browser. */
export class MockBackend implements Backend {
  /** Calls made, by name, oldest first. */
  calls: Array<{ name: string; args: unknown[] }> = []
  requestsNow: RequestView[]
  grantsNow: GrantView[]
  eventsNow: EventView[]
  driftNow: DriftView[]
  peopleNow: Person[] = Object.values(P).map((p) => ({ ...p, groups: p === P.noor || p === P.ivo ? ['dba'] : ['backend'], auditor: false, admin: false }))
  /** People whose devices are disabled. */
  disabledNow = new Set<string>()
  statusNow: Status
  settingsNow: Settings = { ...SETTINGS }
  searchesNow: SavedSearch[] = []
  exportsNow = new MockExports()
  /** Stands in for the events there are. */
  longLogNow: Log | null = null
  /** How far a check is that is under way. */
  progressNow: VerifyProgress | null = null
  password = 'xK4-qTz9-vW2m-h7Rd'
  #failures = new Map<string, Failure[]>()
  #prepared = new Map<string, DecisionDraft>()
  #changed = new Set<(topics: Topic[]) => void>()
  #navigate = new Set<(to: string) => void>()
  #held: Array<() => void> | null = null

  constructor(readonly now: () => number = Date.now) {
    const made = world(now())
    this.requestsNow = made.requests
    this.grantsNow = made.grants
    this.eventsNow = made.events
    this.driftNow = drift(now())
    this.statusNow = status(now())
    this.#count()
  }

  /** The next call of this name rejects with this. */
  fail(name: keyof Backend, code: Code, message: string): void {
    this.#failures.set(name, [...(this.#failures.get(name) ?? []), { code, message }])
  }

  /** From now on calls wait until `release`. */
  hold(): void {
    this.#held = []
  }

  release(): void {
    const waiting = this.#held ?? []
    this.#held = null
    for (const go of waiting) go()
  }

  goOffline(): void {
    this.statusNow = { ...this.statusNow, online: false, problem: { code: 'unreachable', message: 'The server could not be reached.' } }
    this.emit('status')
  }

  goOnline(): void {
    this.statusNow = { ...this.statusNow, online: true, problem: null, synced_at: iso(this.now()) }
    this.emit('status', 'requests', 'grants', 'events')
  }

  emit(...topics: Topic[]): void {
    for (const hear of this.#changed) hear(topics)
  }

  navigate(to: string): void {
    for (const hear of this.#navigate) hear(to)
  }

  find(number: string): RequestView {
    return this.requestsNow.find((r) => r.number === number) ?? refuse('not_found', `There is no ${number}.`)
  }

  status = () => this.#call('status', [], () => this.statusNow)
  catalogue = () => this.#call('catalogue', [], () => CATALOGUE)
  requests = () => this.#call('requests', [], () => [...this.requestsNow].sort((a, b) => b.created_at.localeCompare(a.created_at)))
  grants = () => this.#call('grants', [], () => this.grantsNow)
  settings = () => this.#call('settings', [], () => this.settingsNow)
  setSettings = (settings: Settings) => this.#call('setSettings', [settings], () => (this.settingsNow = { ...settings }))
  uiReady = () => this.#call('uiReady', [], () => undefined)
  copyText = (text: string) => this.#call('copyText', [text], () => undefined)
  copyPassword = (grant: string) => this.#call('copyPassword', [grant], () => undefined)
  revealPassword = (grant: string) => this.#call('revealPassword', [grant], () => this.password)
  onChanged = async (hear: (topics: Topic[]) => void) => (this.#changed.add(hear), () => void this.#changed.delete(hear))
  onNavigate = async (hear: (to: string) => void) => (this.#navigate.add(hear), () => void this.#navigate.delete(hear))

  request = (id: string) => this.#call('request', [id], () => this.#request(id))
  timeline = (id: string) => this.#call('timeline', [id], () => this.eventsNow.filter((e) => e.request === id).reverse())

  recentRoles = () =>
    this.#call('recentRoles', [], () => [
      { resource: 'orders-db', resource_name: 'Orders database', role: 'write', role_name: 'Read and write' },
      { resource: 'vpn-admins', resource_name: 'vpn-admins', role: 'member', role_name: 'Member' },
    ])

  join = (link: string, deviceName?: string) =>
    this.#call('join', [link, deviceName], () => {
      if (!link.startsWith('gatepass://join')) refuse('malformed', 'This is not an invite link. It starts with gatepass://join.')
      return this.#enter()
    })
  tryHere = () => this.#call('tryHere', [], () => ((this.statusNow.trial = true), this.#enter()))
  trialInvite = () =>
    this.#call('trialInvite', [], () => {
      if (!this.statusNow.trial) refuse('not_allowed', 'Only the trial on this machine gives out its own invites.')
      return { link: 'gatepass://join?server=http%3A%2F%2F127.0.0.1%3A7420&code=trial', command: 'gatepass-desktop --profile second' }
    })
  leave = () =>
    this.#call('leave', [], () => {
      this.statusNow = { ...this.statusNow, me: null, server_name: null, server_url: null, online: false, to_review: 0, active: 0 }
      return this.#then(this.statusNow, 'status')
    })
  syncNow = () =>
    this.#call('syncNow', [], () => {
      if (!this.statusNow.online) refuse('unreachable', 'The server could not be reached.')
      return (this.statusNow = { ...this.statusNow, synced_at: iso(this.now()) })
    })
  verifyAgain = () => this.#call('verifyAgain', [], () => (this.statusNow = { ...this.statusNow, verified_at: iso(this.now()) }))

  preview = (ask: Ask) => this.#call('preview', [ask], () => this.#preview(ask))

  submitRequest = (ask: Ask) =>
    this.#call('submitRequest', [ask], () => {
      this.#online()
      const preview = this.#preview(ask)
      const problem = preview.problems[0]
      if (problem) refuse(problem.code, problem.message)
      const resource = CATALOGUE.find((r) => r.id === ask.resource) ?? refuse('unknown_resource', 'There is no such resource.')
      const number = 1 + Math.max(...this.requestsNow.map((r) => Number(r.number.slice(2))))
      const made = makeRequest(number, P.mara, resource, ask.role, this.now(), {
        duration_s: ask.duration_s, allowed_s: ask.duration_s, reason: ask.reason, ticket: ask.ticket, needs: preview.needs, extends: ask.extends,
      })
      this.requestsNow.push(made)
      this.#log('request.created', P.mara, made, 'asked for')
      if (preview.at_once) this.#grant(made)
      return this.#then(made, 'requests', 'grants', 'status', 'events')
    })

  drift = () => this.#call('drift', [], () => this.driftNow)
  markKnown = (id: string, revision: number, reason: string) =>
    this.#call('markKnown', [id, revision, reason], () => this.#mark(id, revision, { by: P.mara, at: iso(this.now()), reason }))
  markUnknown = (id: string, revision: number, reason: string) =>
    this.#call('markUnknown', [id, revision, reason], () => this.#mark(id, revision, null))

  prepareDecision = (draft: DecisionDraft) =>
    this.#call('prepareDecision', [draft], () => {
      if (draft.verdict === 'deny' && !draft.note?.trim()) refuse('reason_required', 'A denial needs a reason.')
      const request = this.#request(draft.request)
      const id = newId('c')
      this.#prepared.set(id, copy(draft))
      const bytes = JSON.stringify({ duration_s: draft.duration_s, id, kind: 'request.decide', request: request.id, shown: request.shown, verdict: draft.verdict })
      const not_after = draft.duration_s === null ? null : iso(this.now() + draft.duration_s * 1000)
      return { id, bytes, digest: digest(bytes), device_name: 'Mara’s ThinkPad', fingerprint: '7d:1a:c4:9e', not_after }
    })

  sendPrepared = (id: string) =>
    this.#call('sendPrepared', [id], () => {
      this.#online()
      const draft = this.#prepared.get(id) ?? refuse('not_found', 'This decision was not prepared.')
      const request = this.#request(draft.request)
      if (request.state !== 'pending') refuse('already_decided', `${request.number} is already ${request.state}.`)
      return this.#decide(request, draft)
    })

  withdraw = (id: string) =>
    this.#call('withdraw', [id], () => {
      this.#online()
      const request = Object.assign(this.#request(id), { state: 'withdrawn', decided_at: iso(this.now()) })
      this.#log('request.withdrawn', P.mara, request, 'withdrew')
      return this.#then(request, 'requests', 'status', 'events')
    })

  returnGrant = (id: string) => this.#call('returnGrant', [id], () => (this.#online(), this.#end(id, 'returned', null)))
  revokeGrant = (id: string, reason: string) =>
    this.#call('revokeGrant', [id, reason], () => {
      this.#online()
      if (!reason.trim()) refuse('reason_required', 'Ending someone’s access needs a reason.')
      return this.#end(id, 'revoked', reason)
    })
  people = () => this.#call('people', [], () => this.peopleNow)
  holdings = (id: string) => this.#call('holdings', [id], () => this.#holdings(id))
  revokeAll = (id: string, reason: string) =>
    this.#call('revokeAll', [id, reason], () => {
      this.#online()
      if (!reason.trim()) refuse('reason_required', 'Say why everything of this person is ended.')
      const held = this.#holdings(id)
      for (const { id: grant } of held.grants) Object.assign(this.#grantOf(grant), { state: 'ending', end: 'revoked', end_reason: reason, ended_by: P.mara.name, can_revoke: false })
      for (const { id: request } of held.requests) Object.assign(this.#request(request), { state: 'withdrawn', decided_at: iso(this.now()) })
      this.disabledNow.add(id)
      const person = { id, handle: held.person.handle, name: held.person.name }
      return this.#then({ person, grants: held.grants, devices: 1, head: { size: 1, root: digest('head') } }, 'requests', 'grants', 'status', 'events')
    })
  extendGrant = (id: string, durationS: number, reason: string) =>
    this.#call('extendGrant', [id, durationS, reason], () => {
      this.#online()
      const grant = this.#grantOf(id)
      const before = this.#request(grant.request)
      const resource = CATALOGUE.find((r) => r.id === grant.resource) ?? refuse('unknown_resource', 'There is no such resource.')
      const number = 1 + Math.max(...this.requestsNow.map((r) => Number(r.number.slice(2))))
      const needs = before.needs.map((n) => need(n.from, [P.kenji, P.noor], [], n.count))
      const made = makeRequest(number, P.mara, resource, grant.role, this.now(), { duration_s: durationS, reason, extends: id, needs })
      grant.extension = made.id
      this.requestsNow.push(made)
      return this.#then(made, 'requests', 'grants', 'status')
    })

  credential = (id: string) =>
    this.#call('credential', [id], () => {
      const grant = this.#grantOf(id)
      return { grant: id, kind: grant.kind, expires_at: grant.ends_at ?? iso(this.now()), ...use(grant.kind) }
    })

  events = (query: { text: string; before: number | null; limit: number }) =>
    this.#call('events', [query], () => pageBelow(this.#events, query.text, query.before, query.limit))
  eventSlice = (slice: EventSlice) => this.#call('eventSlice', [slice], () => page(this.#events, slice.text, slice.offset, slice.limit))
  eventMap = (text: string, midnights: number[]) => this.#call('eventMap', [text, midnights], () => map(this.#events, text, midnights))
  eventCounts = (texts: string[]) => this.#call('eventCounts', [texts], () => texts.map((text) => count(this.#events, text)))
  eventAt = (text: string, at: string) => this.#call('eventAt', [text, at], () => place(this.#events, text, (_, time) => time >= Date.parse(at)))
  eventNumbered = (text: string, seq: number) => this.#call('eventNumbered', [text, seq], () => place(this.#events, text, (of) => of >= seq))
  savedSearches = () => this.#call('savedSearches', [], () => this.searchesNow)
  saveSearch = (name: string, text: string) => this.#call('saveSearch', [name, text], () => this.#keep([...this.searchesNow.filter((s) => s.name !== name), { name, text }]))
  renameSearch = (name: string, to: string) => this.#call('renameSearch', [name, to], () => this.#keep(this.searchesNow.map((s) => (s.name === name ? { ...s, name: to } : s))))
  deleteSearch = (name: string) => this.#call('deleteSearch', [name], () => this.#keep(this.searchesNow.filter((s) => s.name !== name)))

  get #events(): Log {
    return this.longLogNow ?? listLog(this.eventsNow)
  }

  #keep(searches: SavedSearch[]): SavedSearch[] {
    return (this.searchesNow = searches.sort((a, b) => a.name.localeCompare(b.name)))
  }

  event = (seq: number) =>
    this.#call('event', [seq], () => {
      const long = this.longLogNow
      const event = (long ? long.at(long.length - seq) : this.eventsNow.find((e) => e.seq === seq)) ?? refuse('not_found', `There is no event ${seq} you may see.`)
      return detail(event, this.eventsNow, this.requestsNow, this.statusNow.verified_to ?? 0)
    })
  verify = (full: boolean) => this.#call('verify', [full], () => this.#verified(report(this.statusNow.verified_to ?? 0)))
  verifyProgress = () => this.#call('verifyProgress', [], () => this.progressNow)
  verifyCancel = () => this.#call('verifyCancel', [], () => undefined)
  mismatch = () => this.#call('mismatch', [], () => (this.statusNow.mismatch ? mismatch(this.now()) : null))
  exportEvidence = () => this.#call('exportEvidence', [], () => '/home/mara/Downloads/gatepass-evidence-2026-11-17.json')
  exportStart: Backend['exportStart'] = (ask) => this.#call('exportStart', [ask], () => this.exportsNow.start(ask))
  exportState: Backend['exportState'] = (id) => this.#call('exportState', [id], () => this.exportsNow.state(id, this.statusNow) ?? refuse('not_found', 'There is no such export.'))
  exportCancel: Backend['exportCancel'] = (id) => this.#call('exportCancel', [id], () => this.exportsNow.cancel(id))

  #verified(found: VerifyReport): VerifyReport {
    if (!found.finding && !found.cancelled) this.statusNow = { ...this.statusNow, verified_at: iso(this.now()) }
    return found
  }

  async #call<T>(name: string, args: unknown[], act: () => T | Promise<T>): Promise<T> {
    this.calls.push({ name, args: copy(args) })
    if (this.#held) await new Promise<void>((go) => this.#held?.push(go))
    const failure = this.#failures.get(name)?.shift()
    if (failure) throw failure
    return copy(await act())
  }

  #online(): void {
    if (!this.statusNow.online) refuse('unreachable', 'The server could not be reached.')
  }

  #request(id: string): RequestView {
    return this.requestsNow.find((r) => r.id === id || r.number === id) ?? refuse('not_found', 'There is no such request, or you may not see it.')
  }

  #grantOf(id: string): GrantView {
    return this.grantsNow.find((g) => g.id === id) ?? refuse('not_found', 'There is no such access, or you may not see it.')
  }

  #enter(): Status {
    const { trial } = this.statusNow
    this.statusNow = { ...status(this.now()), trial }
    this.#count()
    return this.#then(this.statusNow, 'status')
  }

  #count(): void {
    this.statusNow.to_review = this.requestsNow.filter((r) => r.can_decide).length
    this.statusNow.drift = this.driftNow.filter((d) => d.state === 'open').length
    this.statusNow.active = this.grantsNow.filter((g) => g.mine && ['scheduled', 'provisioning', 'active', 'ending'].includes(g.state)).length
  }

  #then<T>(value: T, ...topics: Topic[]): T {
    if (this.statusNow.me) this.#count()
    queueMicrotask(() => this.emit(...topics))
    return value
  }

  #log(kind: string, by: PersonRef | null, request: RequestView, verb: string): void {
    const name = by?.name ?? 'Gatepass'
    const parts = [name, ` ${verb} `, request.role, ' on ', request.resource_name].map((text, i) => ({ text, strong: i % 2 === 0 }))
    const seq = 1 + (this.eventsNow[0]?.seq ?? 0)
    this.eventsNow.unshift({
      seq, id: newId('e'), at: iso(this.now()), kind, by: by?.handle ?? 'gatepass', by_name: name, parts, request: request.id,
      sentence: parts.map((p) => p.text).join(''), number: request.number, resource: request.resource, role: request.role, texts: {}, erased_at: null, kept_until: null,
    })
    this.statusNow.verified_to = seq
  }

  #decide(request: RequestView, draft: DecisionDraft): RequestView {
    const given = { by: P.mara, at: iso(this.now()), note: draft.note, duration_s: draft.duration_s ?? 0 }
    request.can_decide = false
    request.my_verdict = draft.verdict
    if (draft.verdict === 'deny') {
      Object.assign(request, { state: 'denied', denied_by: given, decided_at: given.at })
    } else {
      request.allowed_s = Math.min(request.allowed_s, draft.duration_s ?? request.duration_s)
      const slot = request.needs.find((n) => n.yours)
      if (slot) Object.assign(slot, { given: [...slot.given, given], yours: false, candidates: [] })
      if (request.needs.every((n) => n.given.length >= n.count)) this.#grant(request)
    }
    this.#log(`request.${draft.verdict === 'deny' ? 'denied' : 'approved'}`, P.mara, request, draft.verdict === 'deny' ? 'denied' : 'approved')
    return this.#then(request, 'requests', 'grants', 'status', 'events')
  }

  #grant(request: RequestView): void {
    Object.assign(request, { state: 'approved', decided_at: iso(this.now()) })
    const ends_at = iso(this.now() + request.allowed_s * 1000)
    this.grantsNow.push(makeGrant(request, { state: 'active', starts_at: iso(this.now()), ends_at }))
  }

  #holdings(id: string): Holdings {
    const person = this.peopleNow.find((p) => p.id === id) ?? refuse('not_found', 'There is no such person.')
    const first = person.name.split(' ')[0] ?? person.name
    return {
      person,
      grants: this.grantsNow.filter((g) => g.by_id === id && !['ended', 'failed'].includes(g.state)),
      requests: this.requestsNow.filter((r) => r.by_id === id && r.state === 'pending'),
      approvals: this.requestsNow.filter((r) => r.by_id !== id && r.state === 'pending' && r.needs.some((n) => n.given.some((g) => g.by.id === id))),
      devices: [{ id: `${id}-device`, name: `${first}’s laptop`, fingerprint: '91:c7:0d:4a', enrolled_at: iso(this.now() - 86_400_000), disabled: this.disabledNow.has(id) }],
    }
  }

  #mark(id: string, revision: number, known: DriftView['known']): DriftView {
    this.#online()
    const drift = this.driftNow.find((d) => d.id === id) ?? refuse('not_found', 'There is no such thing, or you may not see it.')
    if (drift.revision !== revision) refuse('stale_revision', 'It changed after it was shown to you.')
    Object.assign(drift, { known, state: known ? 'known' : 'open', revision: revision + 1 })
    return this.#then(drift, 'drift', 'status', 'events')
  }

  #end(id: string, end: 'returned' | 'revoked', reason: string | null): GrantView {
    const grant = Object.assign(this.#grantOf(id), { state: 'ending', end, end_reason: reason, ended_by: P.mara.name, can_revoke: false })
    return this.#then(grant, 'grants', 'status', 'events')
  }

  #preview(ask: Ask): Preview {
    const resource = CATALOGUE.find((r) => r.id === ask.resource)
    const role = resource?.roles.find((r) => r.id === ask.role) ?? refuse('unknown_role', 'This resource has no such role.')
    const problems = problemsOf(ask, role)
    const needs = role.at_once ? [] : [need(['dba'], [P.noor, P.ivo]), need(['on-call'], [P.kenji])]
    return { allowed: problems.length === 0, problems, needs, at_once: role.at_once, grants: role.grants, duration_s: ask.duration_s, lapses_at: iso(this.now() + 8 * 3_600_000), catalogue: digest('catalogue') }
  }
}

function problemsOf(ask: Ask, role: RoleView): Problem[] {
  const problems: Problem[] = []
  const add = (code: Code, field: string, message: string) => problems.push({ code, field, message })
  if (ask.duration_s > role.max_s) add('duration_too_long', 'duration', `At most ${role.max_s / 60} min for ${role.id}.`)
  if (role.reason_required && !ask.reason?.trim()) add('reason_required', 'reason', 'This role needs a reason.')
  if (role.ticket && !ask.extends) {
    if (!ask.ticket?.trim()) add('ticket_required', 'ticket', 'This role needs a ticket.')
    else if (!new RegExp(role.ticket).test(ask.ticket)) add('ticket_mismatch', 'ticket', 'The ticket does not look like one this role accepts.')
  }
  return problems
}
