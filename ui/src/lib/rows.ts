/** Lists with one tab stop and arrow keys inside; J and K do the same from anywhere in the view. */

const ROW = 'a.row, a.event'

/** Moves the selection in a list by `delta` and opens it; stops at the ends. */
export function move(list: HTMLElement | null | undefined, delta: number): void {
  const rows = [...(list?.querySelectorAll<HTMLElement>(ROW) ?? [])]
  if (rows.length === 0) return
  const focused = rows.indexOf(document.activeElement as HTMLElement)
  const at = focused >= 0 ? focused : rows.findIndex((r) => r.getAttribute('aria-current') === 'true')
  const next = rows[Math.min(rows.length - 1, Math.max(0, at + delta))]
  next?.focus()
  next?.click()
  next?.scrollIntoView?.({ block: 'nearest' })
}

/** Arrow keys, Home and End inside a list of rows. */
export function rows(list: HTMLElement): () => void {
  const keydown = (event: KeyboardEvent) => {
    const by = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key]
    if (by === undefined || event.ctrlKey || event.metaKey || !(event.target as HTMLElement).closest(ROW)) return
    event.preventDefault()
    move(list, by)
  }
  list.addEventListener('keydown', keydown)
  return () => list.removeEventListener('keydown', keydown)
}
