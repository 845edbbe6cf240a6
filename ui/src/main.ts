import '@fontsource-variable/inter/wght.css'
import './tokens.css'
import './app.css'
import { mount } from 'svelte'
import App from './App.svelte'

const target = document.getElementById('root')
if (target) mount(App, { target })
