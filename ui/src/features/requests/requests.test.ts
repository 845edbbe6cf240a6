import { MockBackend } from '$lib/backend/mock'
import { waitFor } from '@testing-library/svelte'
import { expect, test } from 'vitest'
import { by, called, open, text } from '../../test/open'

test('my requests stand under open and earlier, each with where it stands', async () => {
  await open('/requests')
  expect(by('request-row-R-3185').textContent).toContain('Waiting, 1 of 2')
  expect(by('request-row-R-3188').textContent).toContain('Setting up')
  expect(by('request-row-R-3178').textContent).toContain('Active')
  expect(by('request-row-R-3140').textContent).toContain('Denied')
  expect(by('request-row-R-3139').textContent).toContain('Not answered')
})

test('a request is opened by its number or its id, with its history', async () => {
  await open('/requests/R-3188')
  expect(text()).toContain('You asked for shell on bastion-eu-1')
  await waitFor(() => expect(text()).toContain('Gatepass granted at once: shell on bastion-eu-1 to Mara Lindqvist'))
})

test('what others asked for stands below, and can be opened', async () => {
  const { user } = await open('/requests')
  await user.click(by('request-row-R-3180'))
  await waitFor(() => expect(text()).toContain('Kenji Sato asked for read on Orders database'))
  expect(by('end-access')).toBeTruthy()
})

test('a denial shows who and why', async () => {
  await open('/requests/R-3140')
  expect(text()).toContain('Ask for the read-only group.')
  expect(text()).toContain('Denied by Ivo Marek')
})

test('withdrawing ends the request', async () => {
  const { backend, user } = await open('/requests/R-3185')
  await user.click(by('withdraw'))
  await user.click(by('sign'))
  await waitFor(() => expect(backend.find('R-3185').state).toBe('withdrawn'))
  await waitFor(() => expect(by('request-row-R-3185').textContent).toContain('Withdrawn'))
})

test('a request that may no longer be seen says so', async () => {
  await open('/requests/0193b000-0000-7000-8000-000000000000')
  expect(by('error').textContent).toContain('You can no longer see this request')
})

test('it follows what changes elsewhere', async () => {
  const { backend } = await open('/requests/R-3185')
  Object.assign(backend.find('R-3185'), { state: 'lapsed' })
  backend.emit('requests')
  await waitFor(() => expect(by('request-row-R-3185').textContent).toContain('Not answered'))
})

test('copy as new opens the form on the same role', async () => {
  const { user, backend } = await open('/requests/R-3139')
  await user.keyboard('c')
  await waitFor(() => expect(by('role-write').getAttribute('aria-checked')).toBe('true'))
  expect(called(backend, 'submitRequest')).toHaveLength(0)
})

test('nothing asked says what appears here', async () => {
  const backend = new MockBackend()
  backend.requestsNow = []
  await open('/requests', backend)
  expect(text()).toContain('You have not asked for anything')
})
