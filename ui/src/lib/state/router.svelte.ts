/** Where the window is, kept in the address after `#`, so that links, back and reload work by themselves. */

export type View = 'review' | 'access' | 'request' | 'requests' | 'now' | 'audit' | 'people' | 'settings' | 'join'

const VIEWS: readonly string[] = ['review', 'access', 'request', 'requests', 'now', 'audit', 'people', 'settings', 'join']

export interface Route {
  view: View
  /** What is selected in the view. */
  id: string | null
  query: URLSearchParams
}

/** Reads `/review/ID?step=approve`; null when there is no such view. */
export function parseRoute(to: string): Route | null {
  const [path = '', query = ''] = to.split('?', 2)
  const [view = '', id = ''] = path.split('/').filter(Boolean)
  if (!VIEWS.includes(view)) return null
  return { view: view as View, id: id ? safeDecode(id) : null, query: new URLSearchParams(query) }
}

function safeDecode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** `#/review/ID?step=approve` */
export function href(view: View, id?: string | null, query?: Record<string, string>): string {
  const path = id ? `/${view}/${encodeURIComponent(id)}` : `/${view}`
  return `#${path}${query ? `?${new URLSearchParams(query)}` : ''}`
}

export class Router {
  route = $state.raw<Route | null>(null)

  /** Follows the address. Answers how to stop. */
  start(): () => void {
    const follow = () => (this.route = parseRoute(location.hash.slice(1)))
    follow()
    addEventListener('hashchange', follow)
    return () => removeEventListener('hashchange', follow)
  }

  /** Goes to a route such as `/review/ID`; an unknown one changes nothing. */
  go(to: string, replace = false): void {
    const hash = to.startsWith('#') ? to : `#${to}`
    const route = parseRoute(hash.slice(1))
    if (!route) return
    this.route = route
    if (replace) history.replaceState(null, '', hash)
    else if (location.hash !== hash) history.pushState(null, '', hash)
  }
}
