import { cleanup, configure } from '@testing-library/svelte'
import { afterEach, beforeEach, vi } from 'vitest'

// As long as a machine that does other things too may take; what is there at once is not waited for.
configure({ asyncUtilTimeout: 5_000 })

// A machine that does much else at the same time is no reason to fail.
configure({ asyncUtilTimeout: 8_000 })

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
