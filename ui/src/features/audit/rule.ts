/** A role's rule as its version of the catalogue has it. */

import type { RuleView } from '$lib/generated/RuleView'
import { object } from './facts'

export interface Line {
  text: string
  /** The key of the role that this line belongs to. */
  key: string
}

/** The role as canonical JSON, one key a line, and lists of things one thing a line. */
export function sourceLines(rule: RuleView): Line[] {
  const role = Object.entries(rule.source === null ? {} : object(rule.source))
  if (role.length === 0) return []
  const lines = role.flatMap(([key, value], i) => {
    const comma = i < role.length - 1 ? ',' : ''
    if (!Array.isArray(value) || !value.some((v) => typeof v === 'object')) return [{ key, text: `  ${JSON.stringify(key)}: ${JSON.stringify(value)}${comma}` }]
    const inner = value.map((v, n) => ({ key, text: `    ${JSON.stringify(v)}${n < value.length - 1 ? ',' : ''}` }))
    return [{ key, text: `  ${JSON.stringify(key)}: [` }, ...inner, { key, text: `  ]${comma}` }]
  })
  return [{ key: '', text: '{' }, ...lines, { key: '', text: '}' }]
}

/** What the role asks for beside people: whether a reason is needed, and how a ticket looks. */
export function written(rule: RuleView): { reason: boolean; ticket: string | null } {
  const role = rule.source === null ? {} : object(rule.source)
  return { reason: role.reason === 'required', ticket: typeof role.ticket === 'string' ? role.ticket : null }
}

/** The key that what happened hung on; null where none did. */
export function decisive(kind: string): string | null {
  switch (kind) {
    case 'request.created':
      return 'ask'
    case 'request.approved':
    case 'request.approval_voided':
    case 'request.denied':
    case 'request.granted':
      return 'approve'
    case 'grant.provisioning':
    case 'grant.active':
      return 'grants'
    case 'grant.extended':
      return 'max_s'
    default:
      return null
  }
}
