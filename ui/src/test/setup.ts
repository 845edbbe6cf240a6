import { cleanup } from '@testing-library/svelte'
import { afterEach, beforeEach, vi } from 'vitest'

// Every test begins at the same moment, far from midnight: what is shown of a time depends on the day it falls on.
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'], shouldAdvanceTime: true })
})

afterEach(() => {
  vi.useRealTimers()
  cleanup()
  history.replaceState(null, '', '#')
  delete document.documentElement.dataset.theme
})
