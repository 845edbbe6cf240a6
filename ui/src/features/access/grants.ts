import type { GrantView } from '$lib/generated/GrantView'

/** Under this the end is soon: the card turns amber and Extend becomes the filled button. */
export const SOON_MS = 5 * 60_000

export function isLive(grant: GrantView): boolean {
  return grant.state !== 'ended' && grant.state !== 'failed'
}

/** From so many failed tries on it is an alarm, as the server says it. */
const ALARM = 3

/** It should be over, and could not be removed. */
export function isStuck(grant: GrantView): boolean {
  return grant.state === 'ending' && (grant.trouble?.attempts ?? 0) >= ALARM
}

/** Not removed first, then what runs by its end, then what is to come. */
export function order(a: GrantView, b: GrantView): number {
  return rank(a) - rank(b) || (a.ends_at ?? '').localeCompare(b.ends_at ?? '')
}

function rank(grant: GrantView): number {
  if (grant.state === 'ending') return grant.trouble ? 0 : 1
  return { active: 2, provisioning: 3, scheduled: 4, ended: 5, failed: 5 }[grant.state]
}

/** The share of its time an access still has, in per cent. */
export function share(grant: GrantView, now: number): number {
  if (!grant.starts_at || !grant.ends_at) return 0
  const [start, end] = [Date.parse(grant.starts_at), Date.parse(grant.ends_at)]
  return Math.max(0, Math.min(100, ((end - now) / (end - start)) * 100))
}
