import { describe, expect, test } from 'vitest'
import { maskText } from '../../src/ingest/free-text.ts'

describe('free text is masked where it holds', () => {
  test.each([
    ['write to ana.perez+x@mail.example.com, please', 'write to [email], please'],
    ['ANA@EXAMPLE.ORG', '[email]'],
    ['<josé@correo.example>', '<[email]>'],
    ["o'neil_7@a-b.co.uk.", '[email].'],
    ['call +57 300 123 4567', 'call [phone]'],
    ['call (601) 555-0199 now', 'call [phone] now'],
    ['+34600111222', '[phone]'],
    ['0034 600 11 12 13', '[phone]'],
    ['mi celular es 3001234567.', 'mi celular es [phone].'],
    ['600.111.222', '[phone]'],
    ['555-0199', '[phone]'],
    ['tel:+1-202-555-0123;ext=4', 'tel:[phone];ext=4'],
    ['whatsapp:+573001234567', 'whatsapp:[phone]'],
    ['call +57\u00a0300\u00a0123\u00a04567 now', 'call [phone] now'],
    ['\u202a+57 300\u202f123\u202f4567\u202c', '\u202a[phone]\u202c'],
    ['+34–600–111–222', '[phone]'],
    ['300\u2011123\u20114567', '[phone]'],
    ['＋５７ ３００ １２３ ４５６７', '[phone]'],
    ['٣٠٠١٢٣٤٥٦٧', '[phone]'],
    ['ana＠mail.example', '[email]'],
    ['card 4111\u00a01111\u00a01111\u00a01111 exp 12/29', 'card [card] exp 12/29'],
    ['DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000', '[iban]'],
    ['card 4111 1111 1111 1111 exp 12/29', 'card [card] exp 12/29'],
    ['4111-1111-1111-1111', '[card]'],
    ['378282246310005', '[card]'],
    ['6304000000000000', '[card]'],
    ['order 12 4111111111111111', 'order 12 [card]'],
    ['IBAN ES91 2100 0418 4502 0005 1332 thanks', 'IBAN [iban] thanks'],
    ['de89370400440532013000', '[iban]'],
    ['GB82-WEST-1234-5698-7654-32', '[iban]'],
    ['my iban is NL91ABNA0417164300 and mail a@b.io', 'my iban is [iban] and mail [email]'],
  ])('%j', (text, masked) => expect(maskText(text)).toBe(masked))

  test('and masked text stays as it is', () => {
    const masked = maskText('a@b.io, +34 600 111 222, 4111 1111 1111 1111, DE89 3704 0044 0532 0130 00')
    expect(masked).toBe('[email], [phone], [card], [iban]')
    expect(maskText(masked)).toBe(masked)
  })
})

describe('free text keeps', () => {
  test.each([
    'on 2026-11-29 12:30 or 29/11/2026',
    'order 12345678',
    '1.234.567 pesos',
    'version 10.2.33',
    '550e8400-e29b-41d4-a716-446655440000',
    'no digits @ all',
    '2026-11-29T12:30:00.000Z',
    'room 12, floor 3',
    'room\u00a012, from 2026–11–29',
    '１２ ３４',
    'not a card 1234567890123456',
  ])('%j', text => expect(maskText(text)).toBe(text))
})

test('time grows with the text, not with its square', () => {
  for (const text of [
    'a'.repeat(300_000),
    'a.'.repeat(150_000),
    '1'.repeat(300_000),
    '1 '.repeat(150_000),
    'ES12'.repeat(80_000),
    '@'.repeat(300_000),
    '+'.repeat(300_000),
  ])
    expect(maskText(text).length).toBeGreaterThan(0)
})
