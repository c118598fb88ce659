import { expect, test } from 'vitest'
import { languageOf } from '../../src/source/languages.ts'

test.each([
  ['es', 'es'],
  ['ES', 'es'],
  ['es_CO', 'es-CO'],
  ['es-co', 'es-CO'],
  ['PT_br', 'pt-BR'],
  [' es ', 'es'],
  ['es-419', 'es-419'],
  ['zh_hans_cn', 'zh-Hans-CN'],
  ['ca-ES-valencia', 'ca-ES-valencia'],
  ['mul', 'mul'],
])('%j is the tag %s: only case and separators differ', (raw, tag) => {
  expect(languageOf(raw)).toEqual({ tag, isSame: true })
})

test.each([
  ['spa', 'es'],
  ['fre', 'fr'],
  ['deu', 'de'],
  ['iw', 'he'],
  ['en-UK', 'en-GB'],
  ['cmn-Hans-CN', 'zh-Hans-CN'],
  ['zh-cmn-Hans-CN', 'zh-Hans-CN'],
  ['zh-yue-HK', 'yue-HK'],
  ['en-US-u-hc-h12', 'en-US'],
  ['en_US_POSIX', 'en-US'],
  ['de-x-simple', 'de'],
  ['Spanish', 'es'],
  ['ENGLISH', 'en'],
  ['español', 'es'],
  ['Português', 'pt'],
  ['Brazilian Portuguese', 'pt-BR'],
  ['Portuguese (Brazil)', 'pt-BR'],
  ['中文', 'zh'],
])('%j is %s, and said more or other than that', (raw, tag) => {
  expect(languageOf(raw)).toEqual({ tag, isSame: false })
})

test.each([
  'und',
  'und-CO',
  'auto',
  'none',
  'unknown',
  'default',
  'es,en',
  'es;q=0.8',
  'es--CO',
  'e',
  '42',
  'C',
  'es-COL',
  '?',
  'constructor',
  '__proto__',
  'x'.repeat(5000),
])('%j is no language', raw => {
  expect(languageOf(raw)).toEqual({ tag: null, isSame: false })
})

test.each(['', '  ', '-', 'null', 'undefined', '\0'])('%j says nothing, so nothing is lost', raw => {
  expect(languageOf(raw)).toEqual({ tag: null, isSame: true })
})

test('a tag that it gave is its own tag, and thousands of words do not change that', () => {
  for (let i = 0; i < 3_000; i++) languageOf(`word ${i}`)
  for (const tag of ['es', 'pt-BR', 'zh-Hans-CN', 'he', 'yue-HK', 'ca-ES-valencia'])
    expect(languageOf(tag)).toEqual({ tag, isSame: true })
})
