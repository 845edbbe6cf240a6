import { svelte } from '@sveltejs/vite-plugin-svelte'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  plugins: [svelte()],
  base: './',
  resolve: {
    alias: { $lib: fileURLToPath(new URL('./src/lib', import.meta.url)) },
    ...(process.env.VITEST ? { conditions: ['browser'] } : {}),
  },
  build: { target: 'safari17', modulePreload: { polyfill: false }, chunkSizeWarningLimit: 400 },
  server: { host: '127.0.0.1', port: 1420, strictPort: true },
  test: {
    environment: 'jsdom',
    include: ['src/**/*.test.ts'],
    setupFiles: ['src/test/setup.ts'],
    css: false,
    env: { DEBUG_PRINT_LIMIT: '0', TZ: 'Europe/Berlin' },
    fakeTimers: { now: Date.UTC(2026, 10, 17, 9, 33) },
    testTimeout: 30_000,
  },
})
