/** Keyboard shortcuts, in layers: a dialog hears first, and lets nothing through to the view behind it. */

/** `j`, `?`, `g i`, `ctrl+enter`, `escape`; the value says what it does and answers `false` to pass it on. */
export type Shortcuts = Record<string, (event: KeyboardEvent) => void | boolean>

interface Layer {
  map: Shortcuts
  modal: boolean
}

/** How long a `G` waits for the letter after it. */
const SEQUENCE_MS = 1200

export class Keys {
  /** Off leaves only those with Ctrl, for speech input. */
  singleLetters = true
  #layers: Layer[] = []
  #pending: { key: string; until: number } | null = null

  /** Adds shortcuts above those there are. Answers how to take them away. */
  use(map: Shortcuts, modal = false): () => void {
    const layer = { map, modal }
    this.#layers.push(layer)
    return () => {
      this.#layers = this.#layers.filter((l) => l !== layer)
    }
  }

  handle = (event: KeyboardEvent): void => {
    if (event.defaultPrevented || event.isComposing) return
    const name = keyName(event)
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey
    const letter = plain && event.key.length === 1
    if (letter && (!this.singleLetters || inField(event.target))) return
    const before = this.#pending
    this.#pending = null
    const names = before && letter && event.timeStamp < before.until ? [`${before.key} ${name}`] : [name]
    for (const layer of [...this.#layers].reverse()) {
      for (const candidate of names) {
        const act = layer.map[candidate]
        if (act && act(event) !== false) {
          event.preventDefault()
          return
        }
        if (letter && !before && Object.keys(layer.map).some((k) => k.startsWith(`${candidate} `))) {
          this.#pending = { key: candidate, until: event.timeStamp + SEQUENCE_MS }
          return
        }
      }
      if (layer.modal) return
    }
  }
}

function keyName(event: KeyboardEvent): string {
  const key = event.key.toLowerCase()
  const ctrl = event.ctrlKey || event.metaKey ? 'ctrl+' : ''
  const shift = event.shiftKey && (key.length > 1 || ctrl) ? 'shift+' : ''
  return ctrl + (event.altKey ? 'alt+' : '') + shift + key
}

/** Whether typing goes somewhere. */
export function inField(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || target.matches('input, textarea, select, [role="textbox"]'))
  )
}
