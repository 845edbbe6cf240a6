import App from '../App.svelte'
import { MockBackend } from '$lib/backend/mock'
import { render, screen, waitFor } from '@testing-library/svelte'
import userEvent from '@testing-library/user-event'

/** Opens the whole window at a route, over a backend in memory, once its first view is there. */
export async function open(route = '', backend = new MockBackend()) {
  history.replaceState(null, '', `#${route}`)
  const user = userEvent.setup()
  render(App, { backend })
  await waitFor(() => {
    if (!document.querySelector('h1')) throw new Error('no view yet')
  })
  return { backend, user }
}

/** What was called by this name, its arguments only. */
export function called(backend: MockBackend, name: string): unknown[][] {
  return backend.calls.filter((c) => c.name === name).map((c) => c.args)
}

export const text = () => document.body.textContent?.replace(/\s+/g, ' ') ?? ''
export const by = (id: string) => screen.getByTestId(id)
export const has = (id: string) => screen.queryByTestId(id) !== null
