import { describe, expect, test } from 'vitest'
import { beyond, choices, countdown, longDuration, parseDuration, shortDuration, shorter } from './duration'
import { initials, list, ordinal, visible } from './text'
import { ago, localAndUtc, short } from './time'
import { readTokens, writeQuery } from '../features/audit/query'
import { parseRoute } from './state/router.svelte'

describe('text from people', () => {
  test('hidden characters are shown, as the server shows them', () => {
    expect(visible('a\u202eb\u0007c')).toBe('a⟨U+202E⟩b␇c')
    expect(visible('\u200b\u00ad\ufeff\u{e0041}\u007f\u0085')).toBe('⟨U+200B⟩⟨U+00AD⟩⟨U+FEFF⟩⟨U+E0041⟩␡⟨U+0085⟩')
    expect(visible('Zoë\nŁódź\t👍')).toBe('Zoë\nŁódź\t👍')
  })
  test('initials, lists and ordinals', () => {
    expect(initials('Mara Lindqvist')).toBe('ML')
    expect(initials('élan')).toBe('É')
    expect(list(['a', 'b', 'c'])).toBe('a, b or c')
    expect(ordinal(2)).toBe('2nd')
    expect(ordinal(12)).toBe('12th')
  })
})

describe('durations', () => {
  test.each([['90s', 90], ['30m', 1800], ['2h', 7200], ['1h 30m', 5400], ['1d', 86_400], ['45 min', 2700]])('%s', (typed, seconds) => {
    expect(parseDuration(typed)).toBe(seconds)
  })
  test.each(['', '30', 'abc', '1.5h', '-1s', '0s', '5x', '99999999999d'])('%s is none', (typed) => {
    expect(parseDuration(typed)).toBeNull()
  })
  test('are said short and long', () => {
    expect(shortDuration(5400)).toBe('1 h 30 min')
    expect(longDuration(5400)).toBe('1 hour 30 minutes')
    expect(longDuration(60)).toBe('1 minute')
  })
  test('count down to nothing, never below', () => {
    expect(countdown(192_000)).toBe('3:12')
    expect(countdown(5_200_000)).toBe('1:26:40')
    expect(countdown(191_001)).toBe('3:12')
    expect(countdown(-5)).toBe('0:00')
  })
  test('choices follow the role, small ones too', () => {
    expect(choices(1, 1800, 7200)).toEqual([900, 1800, 3600, 7200])
    expect(choices(1, 10, 20)).toEqual([5, 10, 20])
    expect(choices(600, 600, 600)).toEqual([600])
    expect(choices(1, 3600, 28_800)).toEqual([1800, 3600, 7200, 14_400, 28_800])
    expect(beyond(7200)).toBe(14_400)
    expect(beyond(86_400)).toBeNull()
  })
  test('an approver can only shorten', () => {
    expect(shorter(1800)).toEqual([600, 900, 1200, 1800])
    expect(shorter(1)).toEqual([1])
  })
})

test('how long ago', () => {
  const now = Date.parse('2026-11-17T09:33:00Z')
  expect(short(now - 30_000, now)).toBe('just now')
  expect(ago(now - 240_000, now)).toBe('4 min ago')
  expect(localAndUtc('2026-11-17T09:36:00Z', now)).toMatch(/\d\d:36 · 09:36 UTC$/)
})

test('typed filters become tokens, the rest stays words', () => {
  const { tokens, rest } = readTokens('person:tomas stuck orders outcome:denied http://x')
  expect(tokens).toEqual([{ key: 'person', value: 'tomas' }, { key: 'outcome', value: 'denied' }])
  expect(rest).toBe('stuck orders http://x')
  expect(writeQuery([{ key: 'resource', value: 'a b' }], ' x ')).toBe('resource:"a b" x')
})

test('routes that do not exist are refused', () => {
  expect(parseRoute('/review/abc?step=approve')).toMatchObject({ view: 'review', id: 'abc' })
  expect(parseRoute('/access/%E0%A4%A')?.id).toBe('%E0%A4%A')
  expect(parseRoute('/nowhere')).toBeNull()
  expect(parseRoute('')).toBeNull()
})
