import { asFailure, type Backend, type Topic } from '$lib/backend'
import type { Failure } from '$lib/generated/Failure'
import type { Settings } from '$lib/generated/Settings'
import { getContext, setContext } from 'svelte'
import { Clock } from './clock.svelte'
import { Keys } from './keys.svelte'
import { Loaded } from './loaded.svelte'
import { Router } from './router.svelte'

/** How long the first view waits for the cache. */
const PATIENCE_MS = 120

/** Everything the views share: where they are, what is cached, and the port to the desktop process. */
export class App {
  readonly clock = new Clock()
  readonly keys = new Keys()
  readonly router = new Router()
  readonly status
  readonly settings
  readonly requests
  readonly grants
  readonly drift
  readonly catalogue
  /** Grows when the log did; lists of events read again. */
  eventsVersion = $state(0)
  /** Open dialogs; the window behind them is inert. */
  modals = $state(0)
  /** Read out politely. */
  polite = $state('')
  /** A short word at the bottom of the window, such as "Copied". */
  toast = $state('')
  #toastTimer: ReturnType<typeof setTimeout> | undefined
  #stops: Array<() => void> = []

  constructor(readonly backend: Backend) {
    this.status = new Loaded(async () => {
      const status = await backend.status()
      this.clock.offset = status.clock_offset_ms
      const joinedNow = status.me !== null && this.status.value !== null && this.status.value.me === null
      if (joinedNow) void this.readAll()
      return status
    })
    this.settings = new Loaded(async () => this.#apply(await backend.settings()))
    this.requests = new Loaded(() => backend.requests())
    this.grants = new Loaded(() => backend.grants())
    this.drift = new Loaded(() => backend.drift())
    this.catalogue = new Loaded(() => backend.catalogue())
  }

  /** Listens, and reads what the first view needs, all at once. */
  async start(): Promise<void> {
    this.#stops.push(this.router.start())
    const listening = Promise.all([
      this.backend.onChanged((topics) => this.changed(topics)),
      this.backend.onNavigate((to) => this.router.go(to)),
    ]).then((stops) => void this.#stops.push(...stops))
    const cache = this.readAll()
    await Promise.all([this.status.reload(), this.settings.reload(), listening])
    if (this.status.value && !this.status.value.me) return this.forget()
    // The cache answers in a few milliseconds; when it does not, the window opens with grey shapes.
    await Promise.race([cache, new Promise((go) => setTimeout(go, PATIENCE_MS))])
  }

  stop(): void {
    for (const stop of this.#stops) stop()
    this.#stops = []
  }

  async readAll(): Promise<void> {
    void this.catalogue.reload()
    void this.drift.reload()
    await Promise.all([this.requests.reload(), this.grants.reload()])
  }

  /** Drops what was cached in the window, after leaving a server. */
  forget(): void {
    this.requests.clear()
    this.grants.clear()
    this.drift.clear()
    this.catalogue.clear()
  }

  changed(topics: readonly Topic[]): void {
    if (topics.includes('status')) void this.status.reload()
    if (topics.includes('settings')) void this.settings.reload()
    if (this.status.value && !this.status.value.me) return
    if (topics.includes('requests')) void this.requests.reload()
    if (topics.includes('grants')) void this.grants.reload()
    if (topics.includes('drift')) void this.drift.reload()
    if (topics.includes('catalogue')) void this.catalogue.reload()
    if (topics.includes('events')) this.eventsVersion++
  }

  /** Why this device may not sign, whatever the network does; null when it may. */
  get locked(): string | null {
    const status = this.status.value
    if (!status) return 'Not loaded yet'
    if (status.mismatch) return 'Off while the server’s history contradicts this device'
    return status.problem && LOCKING.has(status.problem.code) ? status.problem.message : null
  }

  /** Why nothing new can be asked, decided or ended now; null when it can. A step that is already open may still be
   *  sent: then the answer says what happened to it. */
  get blocked(): string | null {
    if (this.locked) return this.locked
    if (!this.status.value?.online) return 'Needs the server, which is not reached now'
    return null
  }

  async saveSettings(change: Partial<Settings>): Promise<void> {
    const before = this.settings.value
    if (!before) return
    const wanted = { ...before, ...change }
    this.settings.set(this.#apply(wanted))
    try {
      this.settings.set(this.#apply(await this.backend.setSettings(wanted)))
    } catch (thrown) {
      this.settings.set(this.#apply(before))
      throw asFailure(thrown)
    }
  }

  say(text: string): void {
    this.polite = ''
    queueMicrotask(() => (this.polite = text))
  }

  notice(text: string): void {
    this.toast = text
    this.say(text)
    clearTimeout(this.#toastTimer)
    this.#toastTimer = setTimeout(() => (this.toast = ''), 4000)
  }

  async copy(text: string, what: string): Promise<void> {
    try {
      await this.backend.copyText(text)
      this.notice(`${what} copied`)
    } catch (thrown) {
      this.notice(`Not copied: ${asFailure(thrown).message}`)
    }
  }

  #apply(settings: Settings): Settings {
    this.keys.singleLetters = settings.single_letter_shortcuts
    const root = document.documentElement
    if (settings.theme === 'light' || settings.theme === 'dark') root.dataset.theme = settings.theme
    else delete root.dataset.theme
    root.dataset.text = settings.text_size
    return settings
  }
}

/** Problems of this device that no network will mend. */
const LOCKING = new Set<Failure['code']>([
  'device_disabled', 'unknown_device', 'wrong_signature', 'no_keyring', 'keyring_locked', 'not_verified', 'clock_skew',
])

const KEY = Symbol('app')

export function provideApp(app: App): App {
  return setContext(KEY, app)
}

export function useApp(): App {
  return getContext<App>(KEY)
}
