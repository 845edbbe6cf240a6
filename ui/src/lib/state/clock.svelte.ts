import { createSubscriber } from 'svelte/reactivity'

/** The server's clock, as far as this device knows it. Ticks only while something shown depends on it and the
 *  window can be seen. */
export class Clock {
  /** Server clock minus this computer's, milliseconds. */
  #offset = $state(0)
  #seconds: () => void
  #tens: () => void

  constructor() {
    this.#seconds = createSubscriber((update) => ticker(1000, () => this.read(), update))
    this.#tens = createSubscriber((update) => ticker(10_000, () => this.read(), update))
  }

  set offset(ms: number) {
    this.#offset = ms
  }

  get offset(): number {
    return this.#offset
  }

  /** Milliseconds since the epoch, without making anything depend on the time. */
  read(): number {
    return Date.now() + this.#offset
  }

  /** For countdowns: one tick a second, on the second. */
  get now(): number {
    this.#seconds()
    return this.read()
  }

  /** For "4 min ago": one tick in ten seconds. */
  get about(): number {
    this.#tens()
    return this.read()
  }
}

function ticker(every: number, read: () => number, update: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined
  const next = () => {
    clearTimeout(timer)
    if (document.hidden) return
    timer = setTimeout(() => {
      update()
      next()
    }, every - (read() % every))
  }
  const shown = () => {
    if (!document.hidden) update()
    next()
  }
  document.addEventListener('visibilitychange', shown)
  next()
  return () => {
    clearTimeout(timer)
    document.removeEventListener('visibilitychange', shown)
  }
}
