/** How a request stands, in words and icons. */

import type { IconName } from '$lib/components/icons'
import type { GrantView } from '$lib/generated/GrantView'
import type { Need } from '$lib/generated/Need'
import type { RequestView } from '$lib/generated/RequestView'
import { hm } from '$lib/time'

export interface Standing {
  icon: IconName
  tone: '' | 'is-accent' | 'is-ok' | 'is-danger' | 'is-warn' | 'muted'
  text: string
}

export const missing = (needs: readonly Need[]) => needs.reduce((sum, n) => sum + Math.max(0, n.count - n.given.length), 0)
export const givenCount = (needs: readonly Need[]) => needs.reduce((sum, n) => sum + n.given.length, 0)
export const neededCount = (needs: readonly Need[]) => needs.reduce((sum, n) => sum + n.count, 0)

/** Where a request stands, with the access it gave once it did. */
export function standing(request: RequestView, grant: GrantView | null | undefined): Standing {
  switch (request.state) {
    case 'pending': {
      const needed = neededCount(request.needs)
      const given = givenCount(request.needs)
      return { icon: 'clock', tone: 'is-accent', text: needed > 1 ? `Waiting, ${given} of ${needed}` : 'Waiting' }
    }
    case 'denied':
      return { icon: 'circle-x', tone: 'is-danger', text: 'Denied' }
    case 'withdrawn':
      return { icon: 'undo-2', tone: 'muted', text: 'Withdrawn' }
    case 'lapsed':
      return { icon: 'hourglass', tone: 'muted', text: 'Not answered' }
    case 'approved':
      return request.extends ? { icon: 'circle-check', tone: 'is-ok', text: 'Extended' } : grantStanding(grant)
  }
}

export function grantStanding(grant: GrantView | null | undefined): Standing {
  switch (grant?.state) {
    case undefined:
      return { icon: 'circle-check', tone: 'is-ok', text: 'Approved' }
    case 'scheduled':
      return { icon: 'calendar-clock', tone: 'muted', text: grant.starts_at ? `Starts ${hm(grant.starts_at)}` : 'Scheduled' }
    case 'provisioning':
      return { icon: 'loader-circle', tone: 'is-accent', text: 'Setting up' }
    case 'active':
      return { icon: 'circle-check', tone: 'is-ok', text: 'Active' }
    case 'ending':
      return grant.trouble
        ? { icon: 'shield-alert', tone: 'is-danger', text: 'Not removed' }
        : { icon: 'timer', tone: 'is-warn', text: 'Ending' }
    case 'ended':
      return { icon: 'timer', tone: 'muted', text: 'Ended' }
    case 'failed':
      return { icon: 'circle-x', tone: 'is-danger', text: 'Not set up' }
  }
}

/** Whether something still has to happen before the person who asked has it, or is refused. */
export function isOpen(request: RequestView, grant: GrantView | null | undefined): boolean {
  if (request.state === 'pending') return true
  return request.state === 'approved' && !request.extends && (grant?.state === 'provisioning' || grant?.state === 'scheduled')
}

/** Words to filter a list of requests by. */
export function matches(request: RequestView, text: string): boolean {
  const about = [
    request.number, request.by, request.by_name, request.resource, request.resource_name, request.environment,
    request.role, request.role_name, request.reason ?? '', request.ticket ?? '', request.state,
  ].join(' ').toLowerCase()
  return text.toLowerCase().split(/\s+/).every((word) => about.includes(word))
}
