/** People, resources and history for looking at the window without a desktop process. Never in the product. */

import type { CredentialView } from '$lib/generated/CredentialView'
import type { DriftView } from '$lib/generated/DriftView'
import type { EventView } from '$lib/generated/EventView'
import type { Given } from '$lib/generated/Given'
import type { GrantView } from '$lib/generated/GrantView'
import type { Need } from '$lib/generated/Need'
import type { PersonRef } from '$lib/generated/PersonRef'
import type { RequestView } from '$lib/generated/RequestView'
import type { ResourceView } from '$lib/generated/ResourceView'
import type { RoleView } from '$lib/generated/RoleView'
import type { Settings } from '$lib/generated/Settings'
import type { Status } from '$lib/generated/Status'

export const MIN = 60_000
export const HOUR = 60 * MIN
export const iso = (ms: number) => new Date(ms).toISOString()

const person = (n: number, handle: string, name: string): PersonRef => ({
  id: `0193a000-0000-7000-8000-00000000000${n}`, handle, name,
})
export const P = {
  mara: person(1, 'mara@fernhill.example', 'Mara Lindqvist'),
  tomas: person(2, 'tomas@fernhill.example', 'Tomás Rivera'),
  aisha: person(3, 'aisha@fernhill.example', 'Aisha Bello'),
  priya: person(4, 'priya@fernhill.example', 'Priya Nair'),
  jonas: person(5, 'jonas@fernhill.example', 'Jonas Weber'),
  elena: person(6, 'elena@fernhill.example', 'Elena Petrova'),
  kenji: person(7, 'kenji@fernhill.example', 'Kenji Sato'),
  noor: person(8, 'noor@fernhill.example', 'Noor Haddad'),
  ivo: person(9, 'ivo@fernhill.example', 'Ivo Marek'),
}

const role = (id: string, name: string, grants: string[], more: Partial<RoleView> = {}): RoleView => ({
  id, name, grants, default_s: 1800, min_s: 1, max_s: 7200, reason_required: true, ticket: null, at_once: false,
  may_ask: true, ...more,
})
const READ = { default_s: 3600, max_s: 28_800, reason_required: false, at_once: true }

export const CATALOGUE: ResourceView[] = [
  {
    id: 'orders-db', name: 'Orders database', environment: 'production', kind: 'postgres',
    roles: [
      role('read', 'Read', ['orders_reader'], READ),
      role('write', 'Read and write', ['orders_writer'], { ticket: '^INC-[0-9]+$' }),
      role('admin', 'Schema and roles', ['orders_owner'], { may_ask: false }),
    ],
  },
  {
    id: 'ledger-db', name: 'Ledger database', environment: 'production', kind: 'mariadb',
    roles: [role('read', 'Read', ['ledger_reader'], READ), role('admin', 'Schema and roles', ['ledger_admin'], { default_s: 3600 })],
  },
  {
    id: 'bastion', name: 'bastion-eu-1', environment: 'production', kind: 'ssh',
    roles: [role('shell', 'Shell', ['bastion'], { default_s: 3600, at_once: true, reason_required: false })],
  },
  {
    id: 'vpn-admins', name: 'vpn-admins', environment: 'production', kind: 'ldap',
    roles: [role('member', 'Member', ['cn=vpn-admins,ou=groups,dc=fernhill,dc=example'], { default_s: 14_400, max_s: 28_800 })],
  },
  {
    id: 'orders-staging', name: 'Orders database', environment: 'staging', kind: 'postgres',
    roles: [role('write', 'Read and write', ['orders_writer'], { default_s: 10, max_s: 20, at_once: true, reason_required: false })],
  },
]

export const SETTINGS: Settings = {
  notify_review: true, notify_decided: true, notify_ready: true, notify_ending: true, notify_ended: false,
  autostart: true, theme: 'system', text_size: 'normal', single_letter_shortcuts: true,
}

const hash = (seed: string) => {
  let out = ''
  let h = 7
  for (let i = 0; out.length < 64; i++) {
    h = (h * 33 + seed.charCodeAt(i % seed.length) + i) >>> 0
    out += h.toString(16)
  }
  return out.slice(0, 64)
}
export const digest = hash

export function status(now: number): Status {
  return {
    profile: 'default', version: '0.1.0',
    me: {
      person: { ...P.mara, groups: ['on-call', 'platform'], auditor: false, admin: false },
      device: '0193a000-0000-7000-8000-0000000000d1', device_name: 'Mara’s ThinkPad',
      device_fingerprint: '7d:1a:c4:9e', server: 'gate.fernhill.example',
    },
    server_name: 'gate.fernhill.example', server_url: 'https://gate.fernhill.example', online: true, problem: null,
    synced_at: iso(now), verified_to: 48_213, verified_at: iso(now - MIN), mismatch: false, clock_offset_ms: 0,
    keystore: 'keyring', trial: false, to_review: 0, active: 0, drift: 0,
  }
}

const given = (by: PersonRef, at: number, note: string | null, duration_s: number): Given => ({ by, at: iso(at), note, duration_s })
export const need = (from: string[], candidates: PersonRef[], gave: Given[] = [], count = 1): Need => ({
  from, count, given: gave, candidates: gave.length >= count ? [] : candidates,
  yours: gave.length < count && candidates.some((c) => c.id === P.mara.id),
})

let made = 0
export const newId = (kind: string) => `0193b000-0000-7000-8000-${kind}${String(++made).padStart(11, '0')}`

export function makeRequest(number: number, by: PersonRef, resource: ResourceView, roleId: string, at: number, more: Partial<RequestView>): RequestView {
  const wanted = resource.roles.find((r) => r.id === roleId) ?? resource.roles[0]
  const duration_s = more.duration_s ?? wanted?.default_s ?? 1800
  const needs = more.needs ?? []
  const open = (more.state ?? 'pending') === 'pending'
  const can_decide = open && by.id !== P.mara.id && needs.some((n) => n.yours)
  const missing = needs.reduce((sum, n) => sum + Math.max(0, n.count - n.given.length), 0)
  return {
    id: newId('a'), number: `R-${number}`, state: 'pending', resource: resource.id, resource_name: resource.name,
    environment: resource.environment, kind: resource.kind, role: roleId, role_name: wanted?.name ?? roleId,
    grants: wanted?.grants ?? [], by: by.handle, by_name: by.name, by_id: by.id, reason: null, ticket: null,
    duration_s, allowed_s: duration_s, created_at: iso(at), lapses_at: iso(at + 2 * HOUR), decided_at: null,
    denied_by: null, revision: 1, shown: hash(`shown${number}`), catalogue: hash('catalogue'), extends: null, needs,
    can_decide, last_approval: can_decide && missing === 1, mine: by.id === P.mara.id, my_verdict: null, grant: null,
    ...more,
  }
}

export function makeGrant(request: RequestView, more: Partial<GrantView>): GrantView {
  const id = newId('b')
  request.grant = id
  return {
    id, request: request.id, number: request.number, state: 'active', resource: request.resource,
    resource_name: request.resource_name, environment: request.environment, kind: request.kind, role: request.role,
    role_name: request.role_name, by: request.by, by_name: request.by_name, by_id: request.by_id,
    approved_by: request.needs.flatMap((n) => n.given.map((g) => g.by.name)), duration_s: request.allowed_s,
    max_s: 7200, starts_at: null, ends_at: null, end: null, ended_by: null, end_reason: null, ended_at: null,
    removal: null, trouble: null, mine: request.mine, can_revoke: !request.mine, extension: null, ...more,
  }
}

export interface World {
  requests: RequestView[]
  grants: GrantView[]
  events: EventView[]
}

/** What the design pages show, around `now`. */
export function world(now: number): World {
  const by = (id: string) => CATALOGUE.find((r) => r.id === id) as ResourceView
  const [orders, ledger, bastion, vpn] = [by('orders-db'), by('ledger-db'), by('bastion'), by('vpn-admins')]
  const ok = given(P.noor, now - 2 * MIN, 'Lock only, no deletes.', 1800)
  const decided = (state: RequestView['state'], at: number) => ({ state, decided_at: iso(at) })
  const requests = [
    makeRequest(3187, P.tomas, orders, 'write', now - 4 * MIN, {
      reason: 'Orders have been stuck in pending since the 09:50 deploy. I need to release the lock on order_jobs and requeue 212 rows.',
      ticket: 'INC-2041', needs: [need(['dba'], [P.noor, P.ivo], [ok]), need(['on-call'], [P.mara, P.kenji])],
    }),
    makeRequest(3186, P.aisha, ledger, 'admin', now - 11 * MIN, {
      reason: 'Backfill the October revenue job', needs: [need(['on-call'], [P.mara, P.kenji]), need(['dba'], [P.noor, P.ivo])], duration_s: 3600,
    }),
    makeRequest(3184, P.priya, vpn, 'member', now - 18 * MIN, {
      reason: 'Disk at 94 %, rotate old journals', needs: [need(['on-call'], [P.mara, P.kenji])],
    }),
    makeRequest(3183, P.jonas, ledger, 'read', now - 22 * MIN, { reason: 'Compare index plans', needs: [need(['dba'], [P.noor])] }),
    makeRequest(3182, P.elena, vpn, 'member', now - 41 * MIN, { reason: 'Accounts for two new starters', needs: [need(['directory'], [P.ivo])] }),
    makeRequest(3185, P.mara, ledger, 'admin', now - 21 * MIN, {
      reason: 'Add the missing index on entries(account_id, booked_at) before the run on the 30th.', ticket: 'CHG-884', duration_s: 3600,
      needs: [need(['ledger owners'], [P.jonas], [given(P.jonas, now - 14 * MIN, null, 3600)]), need(['dba'], [P.noor, P.ivo])],
    }),
    makeRequest(3181, P.tomas, vpn, 'member', now - 100 * MIN, {
      reason: 'Scale consumers by hand', ...decided('denied', now - 81 * MIN),
      denied_by: given(P.kenji, now - 81 * MIN, 'Use the autoscaler, it was fixed on Monday.', 0), needs: [need(['on-call'], [P.mara, P.kenji])],
    }),
    makeRequest(3180, P.kenji, orders, 'read', now - 150 * MIN, { reason: 'Watch the 8.14 rollout', ...decided('approved', now - 149 * MIN), needs: [need(['on-call'], [], [given(P.mara, now - 149 * MIN, null, 7200)])], my_verdict: 'approve', duration_s: 10_800 }),
    makeRequest(3178, P.mara, orders, 'read', now - 34 * MIN, { ...decided('approved', now - 34 * MIN), duration_s: 7200 }),
    makeRequest(3179, P.mara, vpn, 'member', now - 57 * MIN, { ...decided('approved', now - 57 * MIN), needs: [need(['on-call'], [], [given(P.kenji, now - 57 * MIN, null, 3600)])], duration_s: 3600 }),
    makeRequest(3188, P.mara, bastion, 'shell', now - MIN, { ...decided('approved', now - MIN) }),
    makeRequest(3150, P.mara, ledger, 'read', now - 20 * HOUR, { ...decided('approved', now - 20 * HOUR), reason: 'Month end' }),
    makeRequest(3140, P.mara, vpn, 'member', now - 90 * HOUR, { ...decided('denied', now - 89 * HOUR), denied_by: given(P.ivo, now - 89 * HOUR, 'Ask for the read-only group.', 0) }),
    makeRequest(3139, P.mara, orders, 'write', now - 100 * HOUR, { ...decided('lapsed', now - 98 * HOUR), ticket: 'INC-1999', reason: 'Fix a stuck order' }),
  ]
  const find = (n: number) => requests.find((r) => r.number === `R-${n}`) as RequestView
  const live = (from: number, s: number) => ({ starts_at: iso(from), ends_at: iso(from + s * 1000) })
  const grants = [
    makeGrant(find(3179), { ...live(now - 57 * MIN + 12_000, 3600) }),
    makeGrant(find(3178), { ...live(now - 34 * MIN + 40_000, 7200), max_s: 28_800 }),
    makeGrant(find(3188), { state: 'provisioning' }),
    makeGrant(find(3180), { ...live(now - 149 * MIN, 10_800) }),
    makeGrant(find(3150), {
      ...live(now - 20 * HOUR, 3600), state: 'ended', end: 'expired', ended_at: iso(now - 19 * HOUR),
      removal: { checked_at: iso(now - 19 * HOUR + 7000), sessions_ended: 0, attempts: 1 },
    }),
  ]
  return { requests, grants, events: history(now, requests) }
}

/** Access that no grant explains: one open, one known. */
export function drift(now: number): DriftView[] {
  const made = (n: number, name: string, more: Partial<DriftView>): DriftView => ({
    id: `0193d000-0000-7000-8000-00000000000${n}`, revision: 1, state: 'open', target: 'orders-pg', kind: 'postgres', name, more: null,
    grants: ['orders_writer'], resources: ['orders-db'], resource_names: ['Orders database'], environment: 'production',
    found_at: iso(now - 52 * MIN), changed_at: iso(now - 52 * MIN), known: null, gone_at: null, can_mark: true, ...more,
  })
  return [
    made(1, 'deploy_old', {}),
    made(2, 'metrics_ro', {
      state: 'known', revision: 2, grants: ['orders_reader'], found_at: iso(now - 900 * HOUR), changed_at: iso(now - 900 * HOUR),
      known: { by: P.noor, at: iso(now - 899 * HOUR), reason: 'Monitoring, agreed in INC-1932.' },
    }),
  ]
}

function history(now: number, requests: RequestView[]): EventView[] {
  let seq = 48_213
  const rows: Array<[number, string, PersonRef | null, string, number | null, Record<string, string>?]> = [
    [1, 'grant.provisioning', null, 'sets up |shell| on |bastion-eu-1| for |Mara Lindqvist', 3188],
    [1, 'request.granted', null, 'granted at once: |shell| on |bastion-eu-1| to |Mara Lindqvist|, |1 h', 3188],
    [1, 'request.created', P.mara, 'asked for |shell| on |bastion-eu-1| for |1 h', 3188],
    [2, 'request.approved', P.noor, 'approved |write| on |Orders database| for |Tomás Rivera|, |30 min', 3187, { note: 'Lock only, no deletes.' }],
    [4, 'request.created', P.tomas, 'asked for |write| on |Orders database| for |30 min', 3187, { reason: 'Orders have been stuck in pending since the 09:50 deploy.', ticket: 'INC-2041' }],
    [34, 'grant.active', null, 'gave |Mara Lindqvist| |read| on |Orders database| for |2 h', 3178],
    [81, 'request.denied', P.kenji, 'denied |member| on |vpn-admins| to |Tomás Rivera', 3181, { note: 'Use the autoscaler, it was fixed on Monday.' }],
    [1140, 'grant.ended', null, 'removed |read| on |Ledger database| of |Mara Lindqvist|, checked 14:02:07 UTC', 3150],
    [1141, 'grant.ending', null, 'is ending |read| on |Ledger database| of |Mara Lindqvist|: its time is over', 3150],
    [1300, 'grant.delayed', null, 'could not remove |shell| on |bastion-eu-1| for Jonas Weber, tried 2 times', null],
    [1420, 'device.enrolled', P.priya, 'enrolled |Priya’s MacBook', null],
    [1500, 'catalogue.published', null, 'published catalogue |3bf0926d5a1e', null],
  ]
  return rows.map(([minutes, kind, by, text, number, texts]) => {
    const request = requests.find((r) => r.number === `R-${number}`)
    const parts = text.split('|').map((t, i) => ({ text: i === 0 ? ` ${t}` : t, strong: i % 2 === 1 }))
    const name = by?.name ?? 'Gatepass'
    return {
      seq: seq--, id: newId('e'), at: iso(now - minutes * MIN), kind, by: by?.handle ?? 'gatepass', by_name: name,
      sentence: name + parts.map((p) => p.text).join(''), parts: [{ text: name, strong: true }, ...parts],
      request: request?.id ?? null, number: request?.number ?? null, resource: request?.resource ?? null,
      role: request?.role ?? null, texts: texts ?? {}, erased_at: null, kept_until: null,
    }
  })
}

/** How an access of a kind is used, as the server's connectors say it. */
export function use(kind: string): Pick<CredentialView, 'command' | 'user' | 'lines' | 'config' | 'secret'> {
  const user = 'gp_mara_7f3k'
  const nothing = { command: '', user: '', lines: [], config: null, secret: null }
  switch (kind) {
    case 'ssh':
      return { ...nothing, command: 'ssh -o IdentitiesOnly=yes -i ~/.local/share/gatepass/id deploy@bastion-eu-1', user: 'deploy', config: 'Host bastion-eu-1\n    User deploy\n' }
    case 'ldap':
      return { ...nothing, lines: [{ label: 'Member of', value: 'cn=finance,ou=groups,dc=fernhill,dc=example' }] }
    case 'webhook':
    case 'command':
      return { ...nothing, secret: 'Details' }
    case 'mariadb':
      return { ...nothing, command: `mariadb --host=ledger-1 --user=${user} --password --database=ledger`, user, secret: 'Password' }
    default:
      return { ...nothing, command: `psql "service=gp-orders-prod" -U ${user}`, user, secret: 'Password' }
  }
}
