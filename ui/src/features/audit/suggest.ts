import type { App } from '$lib/state/app.svelte'
import { EVENT_KINDS } from '$lib/events'
import { kindIcon } from '$lib/kinds'
import type { IconName } from '$lib/components/icons'
import type { SavedSearch } from '$lib/generated/SavedSearch'
import { FILTERS, writeQuery, type FilterKey, type Token } from './query'

/** What would be searched if a suggestion was taken. */
export interface Suggestion {
  group: string
  icon: IconName
  /** Before the name, such as `resource:`. */
  lead: string
  name: string
  hint: string
  /** Adds this filter; or, without one, searches for this whole text. */
  filter: { key: FilterKey; value: string } | null
  text: string
}

const OUTCOMES = ['approved', 'denied', 'withdrawn', 'lapsed', 'active', 'ended', 'expired', 'returned', 'revoked', 'failed', 'missing']
/** No longer than what one sees at a glance. */
const MOST = 8

const GROUPS: Readonly<Record<FilterKey, string>> = {
  person: 'Person', resource: 'Resource', role: 'Role', kind: 'Kind', outcome: 'Outcome', env: 'Environment', after: 'After', before: 'Before',
}

/** Values worth offering for what was typed, in texts, and searches that were saved. */
export function suggest(app: App, tokens: readonly Token[], typed: string, saved: readonly SavedSearch[]): Suggestion[] {
  const [, only, value] = /^-?(?:([a-z]+):)?(.*)$/i.exec(typed.trim()) ?? []
  const wanted = (value ?? '').toLowerCase().replace(/^"/, '')
  const found: Suggestion[] = []
  if (only || wanted.length >= 2) {
    const filters = all(app).filter((f) => (!only || f.key === only) && `${f.name} ${f.value}`.toLowerCase().includes(wanted))
    for (const { key, value: of, name, hint, icon } of filters.slice(0, MOST)) {
      found.push({ group: GROUPS[key], icon, lead: `${key}: `, name, hint, filter: { key, value: of }, text: writeQuery([...tokens, { key, value: of }], '') })
    }
  }
  if (!only && wanted.length >= 2 && !typed.trim().startsWith('-')) {
    found.push({ group: 'In texts', icon: 'text', lead: '', name: `Events with “${typed.trim()}”`, hint: '', filter: null, text: writeQuery(tokens, typed) })
  }
  if (!only) {
    for (const { name, text } of saved.filter((s) => `${s.name} ${s.text}`.toLowerCase().includes(wanted)).slice(0, 4)) {
      found.push({ group: 'Saved searches', icon: 'bookmark', lead: '', name, hint: text, filter: null, text })
    }
  }
  return found
}

interface Filter {
  key: FilterKey
  value: string
  name: string
  hint: string
  icon: IconName
}

function all(app: App): Filter[] {
  const people = new Map<string, string>()
  for (const r of app.requests.value ?? []) {
    people.set(r.by, r.by_name)
    for (const n of r.needs) for (const p of [...n.candidates, ...n.given.map((g) => g.by)]) people.set(p.handle, p.name)
  }
  const me = app.status.value?.me?.person
  if (me) people.set(me.handle, me.name)
  const resources = new Map<string, { name: string; environment: string; kind: string }>()
  const roles = new Map<string, string>()
  for (const r of app.catalogue.value ?? []) {
    resources.set(r.id, r)
    for (const role of r.roles) roles.set(role.id, role.name)
  }
  for (const r of app.requests.value ?? []) resources.set(r.resource, { name: r.resource_name, environment: r.environment, kind: r.kind })
  const environments = new Set([...resources.values()].map((r) => r.environment).filter(Boolean))
  return [
    ...[...people].map(([value, name]): Filter => ({ key: 'person', value, name, hint: value, icon: 'user' })),
    ...[...resources].map(([value, r]): Filter => ({ key: 'resource', value, name: r.name, hint: r.environment, icon: kindIcon(r.kind) })),
    ...[...roles].map(([value, name]): Filter => ({ key: 'role', value, name: value, hint: name, icon: 'key-round' })),
    ...EVENT_KINDS.map((value): Filter => ({ key: 'kind', value, name: value, hint: '', icon: 'scroll-text' })),
    ...OUTCOMES.map((value): Filter => ({ key: 'outcome', value, name: value, hint: '', icon: 'circle-check' })),
    ...[...environments].map((value): Filter => ({ key: 'env', value, name: value, hint: '', icon: 'globe' })),
  ]
}

/** Filters that can still be added: those that are there once only are not offered twice. */
export function addable(tokens: readonly Token[]): FilterKey[] {
  return FILTERS.filter((key) => key !== 'env' && key !== 'role' && !((key === 'after' || key === 'before') && tokens.some((t) => t.key === key)))
}

/** A text in three parts: before what was typed, that, and after. */
export function marked(text: string, typed: string): [string, string, string] {
  const wanted = typed.trim().replace(/^-?(?:[a-z]+:)?"?/i, '')
  const at = wanted ? text.toLowerCase().indexOf(wanted.toLowerCase()) : -1
  return at < 0 ? [text, '', ''] : [text.slice(0, at), text.slice(at, at + wanted.length), text.slice(at + wanted.length)]
}
