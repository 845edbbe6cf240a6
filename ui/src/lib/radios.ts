/** Arrow keys in a `radiogroup`, and one tab stop: the checked radio, or the first. */
export function radios(group: HTMLElement): () => void {
  const all = () => [...group.querySelectorAll<HTMLElement>('[role="radio"]:not([aria-disabled="true"])')]
  const settle = () => {
    const options = all()
    const on = options.find((o) => o.getAttribute('aria-checked') === 'true') ?? options[0]
    for (const o of options) o.tabIndex = o === on ? 0 : -1
  }
  const keydown = (event: KeyboardEvent) => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key]
    if (by === undefined) return
    const options = all()
    const at = options.indexOf(document.activeElement as HTMLElement)
    if (at < 0) return
    event.preventDefault()
    const next = options[(at + by + options.length) % options.length]
    next?.click()
    next?.focus()
  }
  const watch = new MutationObserver(settle)
  watch.observe(group, { subtree: true, childList: true, attributeFilter: ['aria-checked', 'aria-disabled'] })
  group.addEventListener('keydown', keydown)
  settle()
  return () => {
    watch.disconnect()
    group.removeEventListener('keydown', keydown)
  }
}
