import '@fontsource-variable/inter/wght.css'
import './tokens.css'
import './app.css'
import './window.css'
import type { Backend } from '$lib/backend'
import { tauri } from '$lib/backend/tauri'
import { mount } from 'svelte'
import App from './App.svelte'

async function connect(): Promise<Backend> {
  if (import.meta.env.MODE === 'mock' || (import.meta.env.DEV && location.search.includes('mock'))) {
    return (await import('$lib/backend/mock-scenes')).scene(new URLSearchParams(location.search))
  }
  return tauri
}

const target = document.getElementById('root')
if (target) mount(App, { target, props: { backend: await connect() } })
