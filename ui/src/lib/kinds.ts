/** Kinds of target, as icons and words. */

import type { IconName } from '$lib/components/icons'
import { list, visible } from '$lib/text'

const KINDS: Readonly<Record<string, { icon: IconName; name: string; gives: string }>> = {
  postgres: { icon: 'database', name: 'PostgreSQL', gives: 'the database role' },
  mariadb: { icon: 'database', name: 'MariaDB', gives: 'the database role' },
  ssh: { icon: 'square-terminal', name: 'SSH host', gives: 'a certificate for' },
  ldap: { icon: 'users-round', name: 'LDAP group', gives: 'membership in' },
  sample: { icon: 'database', name: 'Sample', gives: 'the sample role' },
  webhook: { icon: 'webhook', name: 'Webhook', gives: 'what the target calls' },
  command: { icon: 'terminal', name: 'Command', gives: 'what the target calls' },
}

export function kindIcon(kind: string): IconName {
  return KINDS[kind]?.icon ?? 'key-round'
}

export function kindName(kind: string): string {
  return KINDS[kind]?.name ?? kind
}

/** `Gives the database role orders_writer.` — what a role really is on its target. */
export function grantsSentence(kind: string, grants: readonly string[]): { glue: string; facts: string } {
  const gives = KINDS[kind]?.gives ?? 'what the target calls'
  const plural = grants.length > 1 && gives.endsWith('role') ? `${gives}s` : gives
  return { glue: `Gives ${plural}`, facts: list(grants.map(visible), 'and') || 'nothing by name' }
}
