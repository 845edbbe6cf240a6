import type { IconName } from '$lib/components/icons'
import { kindIcon } from '$lib/kinds'
import { standing } from '$lib/requests'
import type { App } from '$lib/state/app.svelte'
import { href } from '$lib/state/router.svelte'
import { visible } from '$lib/text'

export interface Command {
  id: string
  group: string
  icon: IconName
  name: string
  hint: string
  side: string
  keys: string[]
  run: () => void
}

const PER_GROUP = 5

/** What can be done or opened from here, for what was typed. `>` leaves only commands. */
export function commands(app: App, typed: string): Command[] {
  const only = typed.startsWith('>')
  const words = typed.replace(/^>/, '').toLowerCase().split(/\s+/).filter(Boolean)
  const everything = [...ofRequest(app), ...(only ? [] : [...toAsk(app), ...ofRequests(app)]), ...general(app)]
  const found = everything.filter((c) => {
    const about = `${c.group} ${c.name} ${c.hint} ${c.side}`.toLowerCase()
    return words.every((w) => about.includes(w))
  })
  const counts = new Map<string, number>()
  return found.filter((c) => {
    const n = (counts.get(c.group) ?? 0) + 1
    counts.set(c.group, n)
    return n <= (c.group === 'Go to' ? 12 : PER_GROUP)
  })
}

function ofRequest(app: App): Command[] {
  const route = app.router.route
  if (route?.view !== 'review' && route?.view !== 'requests') return []
  const all = app.requests.value ?? []
  const request = route.id ? all.find((r) => r.id === route.id || r.number === route.id) : all.find((r) => (route.view === 'review' ? r.can_decide : r.mine))
  if (!request) return []
  const make = (id: string, icon: IconName, name: string, keys: string[], step: string): Command => ({
    id, group: 'This request', icon, name: `${name} ${request.number}…`, keys, side: '',
    hint: `${visible(request.by_name)}, ${visible(request.role)} on ${visible(request.resource_name)}`,
    run: () => app.router.go(`/${route.view}/${request.id}?step=${step}`),
  })
  if (request.can_decide && !app.blocked) return [make('approve', 'circle-check', 'Approve', ['A'], 'approve'), make('deny', 'circle-x', 'Deny', ['D'], 'deny')]
  if (request.mine && request.state === 'pending' && !app.blocked) return [make('withdraw', 'undo-2', 'Withdraw', [], 'withdraw')]
  return []
}

function toAsk(app: App): Command[] {
  return (app.catalogue.value ?? [])
    .filter((r) => r.roles.some((o) => o.may_ask))
    .map((r) => {
      const roles = r.roles.filter((o) => o.may_ask)
      return {
        id: `ask ${r.id}`, group: 'Ask for access', icon: kindIcon(r.kind), name: visible(r.name),
        hint: `${visible(r.environment)}${roles.every((o) => o.at_once) ? ', granted at once' : ''}`,
        side: roles.map((o) => visible(o.id)).join(', '), keys: [],
        run: () => app.router.go(href('request', null, { resource: r.id })),
      }
    })
}

function ofRequests(app: App): Command[] {
  return (app.requests.value ?? []).map((r) => ({
    id: `request ${r.id}`, group: 'Requests', icon: kindIcon(r.kind), name: `${r.number} ${visible(r.by_name)}`,
    hint: `${visible(r.role)} on ${visible(r.resource_name)}`,
    side: r.can_decide ? 'Needs you' : standing(r, app.grants.value?.find((g) => g.id === r.grant)).text, keys: [],
    run: () => app.router.go(`/${r.mine ? 'requests' : 'review'}/${r.id}`),
  }))
}

function general(app: App): Command[] {
  const to = (id: string, icon: IconName, name: string, keys: string[], route: string): Command => ({
    id, group: 'Go to', icon, name, hint: '', side: '', keys, run: () => app.router.go(route),
  })
  const theme = (name: 'light' | 'dark' | 'system'): Command => ({
    id: `theme ${name}`, group: 'Commands', icon: 'sun', name: `Theme: ${name}`, hint: '', side: '', keys: [],
    run: () => void app.saveSettings({ theme: name }).catch((f) => app.notice(`Not kept: ${f.message}`)),
  })
  return [
    to('new', 'plus', 'New request', ['N'], '/request'),
    to('review', 'inbox', 'To review', ['G', 'I'], '/review'),
    to('access', 'key-round', 'My access', ['G', 'M'], '/access'),
    to('requests', 'send', 'Requests', ['G', 'Q'], '/requests'),
    to('now', 'activity', 'Right now', ['G', 'N'], '/now'),
    to('audit', 'scroll-text', 'Audit', ['G', 'A'], '/audit'),
    ...(app.status.value?.me?.person.admin || app.status.value?.me?.person.auditor ? [to('people', 'users-round', 'People', ['G', 'P'], '/people')] : []),
    to('settings', 'settings', 'Settings', ['Ctrl', ','], '/settings'),
    to('shortcuts', 'keyboard', 'Shortcuts', ['?'], '/settings/shortcuts'),
    {
      id: 'sync', group: 'Commands', icon: 'refresh-cw', name: 'Sync now', hint: '', side: '', keys: [],
      run: () => void app.backend.syncNow().then(() => app.notice('Synced'), (f) => app.notice(`Not synced: ${f.message}`)),
    },
    theme('light'), theme('dark'), theme('system'),
  ]
}
