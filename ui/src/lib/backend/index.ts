/** The window's port: everything it can ask of the desktop process. See docs/desktop-commands.md. */

import type { Ask } from '$lib/generated/Ask'
import type { CredentialView } from '$lib/generated/CredentialView'
import type { DecisionDraft } from '$lib/generated/DecisionDraft'
import type { DriftView } from '$lib/generated/DriftView'
import type { EventDetail } from '$lib/generated/EventDetail'
import type { EventMap } from '$lib/generated/EventMap'
import type { EventPage } from '$lib/generated/EventPage'
import type { EventPlace } from '$lib/generated/EventPlace'
import type { EventSlice } from '$lib/generated/EventSlice'
import type { SavedSearch } from '$lib/generated/SavedSearch'
import type { EventQuery } from '$lib/generated/EventQuery'
import type { EventView } from '$lib/generated/EventView'
import type { ExportAsk } from '$lib/generated/ExportAsk'
import type { ExportState } from '$lib/generated/ExportState'
import type { Failure } from '$lib/generated/Failure'
import type { GrantView } from '$lib/generated/GrantView'
import type { Holdings } from '$lib/generated/Holdings'
import type { MismatchView } from '$lib/generated/MismatchView'
import type { Person } from '$lib/generated/Person'
import type { Prepared } from '$lib/generated/Prepared'
import type { Preview } from '$lib/generated/Preview'
import type { RecentRole } from '$lib/generated/RecentRole'
import type { RequestView } from '$lib/generated/RequestView'
import type { ResourceView } from '$lib/generated/ResourceView'
import type { RevokedView } from '$lib/generated/RevokedView'
import type { Settings } from '$lib/generated/Settings'
import type { Status } from '$lib/generated/Status'
import type { VerifyProgress } from '$lib/generated/VerifyProgress'
import type { VerifyReport } from '$lib/generated/VerifyReport'

/** What may have changed in the desktop process; the payload is never the data. */
export type Topic = 'status' | 'requests' | 'grants' | 'drift' | 'events' | 'catalogue' | 'settings' | 'exports'

/** A link for the second person of a trial, and what to run to open their window. */
export interface TrialInvite {
  link: string
  command: string
}

/** Every call answers a value or rejects with a `Failure`. */
export interface Backend {
  status(): Promise<Status>
  join(link: string, deviceName?: string): Promise<Status>
  tryHere(): Promise<Status>
  /** Only in a trial: how a second person joins it, in another profile. */
  trialInvite(): Promise<TrialInvite>
  catalogue(): Promise<ResourceView[]>
  recentRoles(): Promise<RecentRole[]>
  preview(ask: Ask): Promise<Preview>
  submitRequest(ask: Ask): Promise<RequestView>
  requests(): Promise<RequestView[]>
  request(id: string): Promise<RequestView>
  timeline(request: string): Promise<EventView[]>
  grants(): Promise<GrantView[]>
  /** Access on targets that no grant explains; what is gone comes last. */
  drift(): Promise<DriftView[]>
  markKnown(drift: string, revision: number, reason: string): Promise<DriftView>
  markUnknown(drift: string, revision: number, reason: string): Promise<DriftView>
  prepareDecision(draft: DecisionDraft): Promise<Prepared>
  /** Sending the same prepared decision twice is one decision. */
  sendPrepared(id: string): Promise<RequestView>
  withdraw(request: string): Promise<RequestView>
  returnGrant(grant: string): Promise<GrantView>
  revokeGrant(grant: string, reason: string): Promise<GrantView>
  /** Everybody, by name. */
  people(): Promise<Person[]>
  /** What ending everything of a person would end. */
  holdings(person: string): Promise<Holdings>
  revokeAll(person: string, reason: string): Promise<RevokedView>
  extendGrant(grant: string, durationS: number, reason: string): Promise<RequestView>
  credential(grant: string): Promise<CredentialView>
  revealPassword(grant: string): Promise<string>
  /** The clipboard is cleared after 30 seconds. */
  copyPassword(grant: string): Promise<void>
  copyText(text: string): Promise<void>
  events(query: EventQuery): Promise<EventPage>
  /** What stands from a place in a result on, newest first. */
  eventSlice(slice: EventSlice): Promise<EventPage>
  /** Where in the log what matches is; `midnights` are the beginnings of days, ascending, in milliseconds. */
  eventMap(text: string, midnights: number[]): Promise<EventMap>
  eventCounts(texts: string[]): Promise<number[]>
  /** The first event at or after a moment, and its place in a result. */
  eventAt(text: string, at: string): Promise<EventPlace | null>
  /** An event by its number, or the next one that may be read. */
  eventNumbered(text: string, seq: number): Promise<EventPlace | null>
  /** By name; the writes answer all of them again. */
  savedSearches(): Promise<SavedSearch[]>
  saveSearch(name: string, text: string): Promise<SavedSearch[]>
  renameSearch(name: string, to: string): Promise<SavedSearch[]>
  deleteSearch(name: string): Promise<SavedSearch[]>
  event(seq: number): Promise<EventDetail>
  /** Checks what this device holds of the log, without the server; all of it when `full`, else what is new. */
  verify(full: boolean): Promise<VerifyReport>
  /** How far such a check is; null when none is under way. */
  verifyProgress(): Promise<VerifyProgress | null>
  verifyCancel(): Promise<void>
  /** Both sides of the contradiction that locks this device. */
  mismatch(): Promise<MismatchView | null>
  /** Writes the proof of the contradiction into Downloads. Answers the file's path. */
  exportEvidence(): Promise<string>
  /** Begins to write into Downloads. Answers an id to ask for its state by; `changed` tells `exports` when it is over. */
  exportStart(ask: ExportAsk): Promise<number>
  exportState(id: number): Promise<ExportState>
  exportCancel(id: number): Promise<void>
  verifyAgain(): Promise<Status>
  syncNow(): Promise<Status>
  settings(): Promise<Settings>
  setSettings(settings: Settings): Promise<Settings>
  leave(): Promise<Status>
  uiReady(): Promise<void>
  /** Calls back with the topics to read again. Answers how to stop. */
  onChanged(hear: (topics: Topic[]) => void): Promise<() => void>
  /** Calls back with a route such as `/review/ID`. Answers how to stop. */
  onNavigate(hear: (to: string) => void): Promise<() => void>
}

/** Anything thrown by a call, as a failure with a code and a sentence. */
export function asFailure(thrown: unknown): Failure {
  if (typeof thrown === 'object' && thrown !== null && 'code' in thrown && 'message' in thrown) {
    return thrown as Failure
  }
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  return { code: 'internal', message: message || 'Something went wrong in this app.' }
}

/** Whether the call failed before anyone could answer it: nothing is known to have happened. */
export function notSent(failure: Failure): boolean {
  return failure.code === 'unreachable' || failure.code === 'unavailable' || failure.code === 'certificate_mismatch'
}
