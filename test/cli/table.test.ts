import t from 'tap'
import { table } from '../../src/cli/table.ts'

t.test('columns stand under their headings, numbers on the right', async (t) => {
  const rows = [
    ['crm', 7, 'running'],
    ['archive', 12_000, null],
  ]
  t.equal(
    table(['TARGET', 'DEAD', 'STATE'], rows),
    ['TARGET    DEAD  STATE', 'crm          7  running', 'archive  12000', ''].join('\n'),
  )
})

t.test('lines are cut to the width of the terminal', async (t) => {
  t.equal(table(['A', 'B'], [['one', 'two and more']], 9), 'A    B\none  two…\n')
})

t.test('what came from elsewhere cannot break a line or talk to the terminal', async (t) => {
  const text = table(['ERROR'], [['two\r\nlines \u001b[31mred\u0007 \u009b1m \u202eright to left\u2028end']])
  t.equal(text, 'ERROR\ntwo lines  [31mred   1m  right to left end\n')
})
