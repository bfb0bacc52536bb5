import fc from 'fast-check'
import { anyText } from '../any-text.ts'

/** JSON text as bytes in latin1: what a text holds may be no UTF-8 at all. */
type Text = string

const utf8 = (text: string) => Buffer.from(text).toString('latin1')
const blank = fc.constantFrom('', '', '', ' ', '\n', '\r\n\t')
const key = fc.constantFrom(
  'a',
  'b',
  '__proto__',
  'constructor',
  'toString',
  '',
  'call',
  'event',
  'callId',
  '\\u0061',
  '\\ud800',
)
const number = fc.constantFrom('0', '-0', '1.0', '1e400', '-1E-400', '9007199254740993', `1${'0'.repeat(400)}`, '0.1')
const string: fc.Arbitrary<Text> = fc.oneof(
  anyText({ maxLength: 8 }).map((text) => utf8(JSON.stringify(text))),
  fc.constantFrom(
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"\\u0000"',
    '"\\/"',
    '"\xff\xfe"',
    '"\xc3"',
    '"\xed\xa0\x80"',
    '"\xef\xbb\xbf"',
  ),
)

const { value } = fc.letrec<{ value: Text; list: Text; mapping: Text; deep: Text }>((tie) => ({
  list: fc
    .tuple(blank, fc.array(tie('value'), { maxLength: 3 }))
    .map(([space, items]) => `[${space}${items.join(`${space},`)}]`),
  // Keys come more than once.
  mapping: fc
    .tuple(blank, fc.array(fc.tuple(key, tie('value')), { maxLength: 4 }))
    .map(([space, members]) => `{${members.map(([name, of]) => `"${name}"${space}:${space}${of}`).join(',')}${space}}`),
  deep: fc.integer({ min: 100, max: 1_500 }).map((levels) => `${'['.repeat(levels)}${']'.repeat(levels)}`),
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom('null', 'true'),
    number,
    string,
    tie('deep'),
    tie('list'),
    tie('mapping'),
  ),
}))

/**
 * Bodies that are JSON, hold an event, and are as odd as JSON may be: escapes and bytes that are no text, numbers that no
 * number holds, the same key twice, `__proto__`, thousands of levels, and blanks wherever there may be some.
 */
export const hostileBody: fc.Arbitrary<Buffer> = fc
  .tuple(
    blank,
    fc.constantFrom('call.ended', 'e\\u0000', '\\ud83d', '\xff'),
    fc.array(fc.tuple(key, value), { maxLength: 4 }),
    fc.uuid(),
  )
  .map(([space, event, members, callId]) => {
    const own = members.map(([name, of]) => `"${name}":${of},`).join(space)
    return Buffer.from(`${space}{${own}"event":${space}"${event}","call":{"callId":"${callId}"}}${space}`, 'latin1')
  })
