import type { DriftView } from '$lib/generated/DriftView'
import { list, visible } from '$lib/text'

/** Who it is, as the target calls them. */
export function who(drift: DriftView): string {
  if (drift.more !== null) return `About ${drift.more} more`
  return visible(drift.name ?? 'someone')
}

/** Where, by the names of the resources; by the target's when no role gives it any more. */
export function where(drift: DriftView): string {
  return list(drift.resource_names.map(visible), 'and') || visible(drift.target)
}

/** What is held there. */
export function holds(drift: DriftView): string {
  return list(drift.grants.map(visible), 'and') || 'access'
}
