import { cleanup } from '@testing-library/svelte'
import { afterEach } from 'vitest'

afterEach(() => {
  cleanup()
  history.replaceState(null, '', '#')
  delete document.documentElement.dataset.theme
})
