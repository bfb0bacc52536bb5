import fc from 'fast-check'
import t from 'tap'
import { printable, printableJson } from '../../src/domain/printable.ts'

t.test('what a terminal acts on is written out, and all other text stays', async (t) => {
  for (const [text, shown] of [
    ['\u001b]0;owned\u0007', '\\u001b]0;owned\\u0007'],
    ['\u009b2J', '\\u009b2J'],
    ['\u007f\b\0\v\f', '\\u007f\\u0008\\u0000\\u000b\\u000c'],
    ['a\rb', 'a\\u000db'],
    ['a\r\nb\tc', 'a\r\nb\tc'],
    ['\u202egnp.exe', '\\u202egnp.exe'],
    ['\u2066\u200f\u061c\ufeff\u2028', '\\u2066\\u200f\\u061c\\ufeff\\u2028'],
    ['x\ud800y\udc00', 'x\\ud800y\\udc00'],
    ['\u{e0041}', '\\udb40\\udc41'],
    ['Jürgen 日本語 👩‍👧 نمی‌خواهم', 'Jürgen 日本語 👩‍👧 نمی‌خواهم'],
  ] as const) {
    t.equal(printable(text), shown)
  }
})

t.test('JSON means the same afterwards, and is of printable characters', async (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const json = printableJson(JSON.stringify({ [text]: text }, null, 2))
      if (JSON.parse(json)[text] !== text) throw new Error('not the same')
      if (printable(json) !== json) throw new Error('not printable')
    }),
  )
  t.equal(printableJson('"\u009b\u007f\u202e\u{e0041}"'), '"\\u009b\\u007f\\u202e\\udb40\\udc41"')
})
