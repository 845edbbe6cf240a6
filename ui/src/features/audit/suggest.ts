import type { App } from '$lib/state/app.svelte'
import { EVENT_KINDS } from '$lib/events'
import type { IconName } from '$lib/components/icons'
import { FILTERS, writeQuery, type FilterKey, type Token } from './search.svelte'

export interface Suggestion {
  key: FilterKey
  value: string
  /** What is shown for the value. */
  name: string
  hint: string
  icon: IconName
}

const OUTCOMES = ['approved', 'denied', 'withdrawn', 'lapsed', 'active', 'ended', 'expired', 'returned', 'revoked', 'failed', 'missing']

/** Values worth offering for what was typed: people, resources, kinds and outcomes this device knows. */
export function suggest(app: App, typed: string): Suggestion[] {
  const [, only, value] = /^(?:([a-z]+):)?(.*)$/i.exec(typed.trim()) ?? []
  const wanted = (value ?? '').toLowerCase().replace(/^"/, '')
  if (!only && wanted.length < 2) return []
  const found = all(app).filter(
    (s) => (!only || s.key === only) && (`${s.name} ${s.value}`.toLowerCase().includes(wanted)),
  )
  return found.slice(0, 8)
}

/** How many events each of these would leave, beside the filters there are. */
export async function counts(app: App, tokens: readonly Token[], options: readonly Suggestion[]): Promise<Map<Suggestion, number>> {
  const found = new Map<Suggestion, number>()
  await Promise.all(
    options.map(async (option) => {
      const text = writeQuery([...tokens, option], '')
      found.set(option, (await app.backend.events({ text, before: null, limit: 0 })).total)
    }),
  )
  return found
}

function all(app: App): Suggestion[] {
  const people = new Map<string, string>()
  for (const r of app.requests.value ?? []) {
    people.set(r.by, r.by_name)
    for (const n of r.needs) for (const p of [...n.candidates, ...n.given.map((g) => g.by)]) people.set(p.handle, p.name)
  }
  const me = app.status.value?.me?.person
  if (me) people.set(me.handle, me.name)
  const resources = new Map<string, { name: string; environment: string }>()
  for (const r of app.catalogue.value ?? []) resources.set(r.id, r)
  for (const r of app.requests.value ?? []) resources.set(r.resource, { name: r.resource_name, environment: r.environment })
  const environments = new Set([...resources.values()].map((r) => r.environment).filter(Boolean))
  return [
    ...[...people].map(([value, name]): Suggestion => ({ key: 'person', value, name, hint: value, icon: 'user' })),
    ...[...resources].map(([value, r]): Suggestion => ({ key: 'resource', value, name: r.name, hint: r.environment, icon: 'key-round' })),
    ...EVENT_KINDS.map((value): Suggestion => ({ key: 'kind', value, name: value, hint: '', icon: 'scroll-text' })),
    ...OUTCOMES.map((value): Suggestion => ({ key: 'outcome', value, name: value, hint: '', icon: 'circle-check' })),
    ...[...environments].map((value): Suggestion => ({ key: 'env', value, name: value, hint: '', icon: 'globe' })),
  ]
}

/** Filters that can still be added. */
export const ADDABLE = FILTERS.filter((f) => f !== 'env')
