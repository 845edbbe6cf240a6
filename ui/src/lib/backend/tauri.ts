import { invoke } from '@tauri-apps/api/core'
import { listen } from '@tauri-apps/api/event'
import type { Backend, Topic } from './index'

/** The port over Tauri's commands and events. */
export const tauri: Backend = {
  status: () => invoke('status'),
  join: (link, deviceName) => invoke('join', { link, deviceName: deviceName ?? null }),
  tryHere: () => invoke('try_here'),
  trialInvite: () => invoke('trial_invite'),
  catalogue: () => invoke('catalogue'),
  recentRoles: () => invoke('recent_roles'),
  preview: (ask) => invoke('preview', { ask }),
  submitRequest: (ask) => invoke('submit_request', { ask }),
  requests: () => invoke('requests'),
  request: (id) => invoke('request', { id }),
  timeline: (request) => invoke('timeline', { request }),
  grants: () => invoke('grants'),
  prepareDecision: (draft) => invoke('prepare_decision', { draft }),
  sendPrepared: (id) => invoke('send_prepared', { id }),
  withdraw: (request) => invoke('withdraw', { request }),
  returnGrant: (grant) => invoke('return_grant', { grant }),
  revokeGrant: (grant, reason) => invoke('revoke_grant', { grant, reason }),
  extendGrant: (grant, durationS, reason) => invoke('extend_grant', { grant, durationS, reason }),
  credential: (grant) => invoke('credential', { grant }),
  revealPassword: (grant) => invoke('reveal_password', { grant }),
  copyPassword: (grant) => invoke('copy_password', { grant }),
  copyText: (text) => invoke('copy_text', { text }),
  events: (query) => invoke('events', { query }),
  event: (seq) => invoke('event', { seq }),
  verifyAgain: () => invoke('verify_again'),
  syncNow: () => invoke('sync_now'),
  settings: () => invoke('settings'),
  setSettings: (settings) => invoke('set_settings', { settings }),
  leave: () => invoke('leave'),
  uiReady: () => invoke('ui_ready'),
  onChanged: (hear) => listen<{ topics: Topic[] }>('changed', (event) => hear(event.payload.topics)),
  onNavigate: (hear) => listen<{ to: string }>('navigate', (event) => hear(event.payload.to)),
}
