/** How an event is drawn. */

import type { IconName } from '$lib/components/icons'

const LOOKS: Readonly<Record<string, readonly [IconName, string]>> = {
  'catalogue.published': ['file-text', ''],
  'person.recorded': ['user', ''],
  'device.enrolled': ['laptop', ''],
  'person.revoked': ['shield-alert', 'is-danger'],
  'person.erased': ['user', ''],
  'device.disabled': ['lock', 'is-danger'],
  'request.created': ['send', ''],
  'request.approved': ['circle-check', 'is-ok'],
  'request.granted': ['circle-check', 'is-ok'],
  'request.approval_voided': ['undo-2', ''],
  'request.denied': ['circle-x', 'is-danger'],
  'request.withdrawn': ['undo-2', ''],
  'request.lapsed': ['hourglass', ''],
  'grant.provisioning': ['loader-circle', ''],
  'grant.active': ['key-round', ''],
  'grant.delayed': ['shield-alert', 'is-danger'],
  'grant.extended': ['timer', ''],
  'grant.ending': ['timer', ''],
  'grant.ended': ['shield-check', 'is-ok'],
  'grant.failed': ['circle-x', 'is-danger'],
  'access.removed': ['shield-alert', 'is-danger'],
  'drift.found': ['shield-alert', 'is-danger'],
  'drift.known': ['check', ''],
  'drift.unknown': ['undo-2', ''],
  'drift.gone': ['circle-check', 'is-ok'],
}

export function eventLook(kind: string): { icon: IconName; tone: string } {
  const [icon, tone] = LOOKS[kind] ?? (['info', ''] as const)
  return { icon, tone }
}

const STATES: Readonly<Record<string, readonly [string, string]>> = {
  'person.revoked': ['Ended', 'is-danger'],
  'device.disabled': ['Disabled', 'is-danger'],
  'device.enrolled': ['Enrolled', ''],
  'request.created': ['Asked', ''],
  'request.approved': ['Approved', ''],
  'request.granted': ['Granted', ''],
  'request.approval_voided': ['Voided', ''],
  'request.denied': ['Denied', 'is-danger'],
  'request.withdrawn': ['Withdrawn', ''],
  'request.lapsed': ['Lapsed', ''],
  'grant.provisioning': ['Setting up', ''],
  'grant.active': ['Active', ''],
  'grant.delayed': ['Delayed', 'is-danger'],
  'grant.extended': ['Extended', ''],
  'grant.ending': ['Ending', ''],
  'grant.ended': ['Ended', ''],
  'grant.failed': ['Failed', 'is-danger'],
  'access.removed': ['Removed', 'is-danger'],
  'drift.found': ['Found', 'is-danger'],
  'drift.known': ['Known', ''],
  'drift.gone': ['Gone', ''],
}

/** What an event came to, in a word; empty where its sentence says all. */
export function eventState(kind: string): { name: string; tone: string } {
  const [name, tone] = STATES[kind] ?? (['', ''] as const)
  return { name, tone }
}

/** Every kind of event there is, for filters. */
export const EVENT_KINDS = Object.keys(LOOKS)
