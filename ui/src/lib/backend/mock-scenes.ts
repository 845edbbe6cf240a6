import { MockBackend } from './mock'
import { longLog } from './mock-search'

/** A mock in the state that `?scene=` names, and in the theme of `?theme=`. For looking at pages only. */
export function scene(query: URLSearchParams): MockBackend {
  const mock = new MockBackend()
  const theme = query.get('theme')
  if (theme) mock.settingsNow.theme = theme
  const now = Date.now()
  switch (query.get('scene')) {
    case 'join':
      void mock.leave()
      break
    case 'offline':
      mock.goOffline()
      break
    case 'empty':
      mock.requestsNow = mock.requestsNow.filter((r) => r.mine || r.state !== 'pending')
      mock.statusNow.to_review = 0
      break
    case 'nothing':
      mock.requestsNow = []
      mock.grantsNow = []
      mock.driftNow = []
      mock.eventsNow = []
      mock.statusNow = { ...mock.statusNow, to_review: 0, active: 0, drift: 0 }
      break
    case 'ending': {
      const [first, second] = mock.grantsNow
      if (first) Object.assign(first, { state: 'ending', end: 'expired', trouble: { attempts: 3, message: 'the database does not answer', since: new Date(now - 120_000).toISOString() } })
      if (second) Object.assign(second, { state: 'ending', end: 'returned' })
      break
    }
    case 'mismatch':
      mock.statusNow.mismatch = true
      break
    case 'clock':
      mock.statusNow.clock_offset_ms = -184_000
      break
    case 'loading':
      mock.requests = () => new Promise(() => {})
      break
    case 'keyring':
      mock.statusNow = { ...mock.statusNow, me: null, problem: { code: 'no_keyring', message: 'No keyring answers on this computer.' } }
      break
    case 'long': {
      const name = 'customer-notifications-fanout-primary.eu-central-1'
      for (const r of mock.requestsNow) Object.assign(r, { by_name: 'Maximiliana Featherstonehaugh-Wójcikiewicz', resource_name: name, reason: `Replay ${'https://tickets.example/'.repeat(12)}` })
      for (const g of mock.grantsNow) Object.assign(g, { resource_name: name, environment: 'production-eu-central-1', approved_by: ['Maximiliana Featherstonehaugh-Wójcikiewicz', 'Noor Haddad'] })
      mock.settingsNow.text_size = query.get('size') ?? 'normal'
      break
    }
    case 'million':
      mock.longLogNow = longLog(1_048_213, mock.eventsNow, now)
      mock.statusNow.verified_to = 1_048_213
      mock.searchesNow = [
        { name: 'Denied in production', text: 'outcome:denied env:production' },
        { name: 'Ended this quarter', text: 'kind:grant.ended after:2026-10-01' },
      ]
      break
    case 'notsent':
      mock.fail('sendPrepared', 'unreachable', 'The server could not be reached.')
      break
  }
  Object.assign(globalThis, { mock })
  return mock
}
