import t from 'tap'
import { setColor } from '../../src/cli/style.ts'
import { cell, spare, table, whole } from '../../src/cli/table.ts'

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

t.test('a style takes no room, and numbers in one stay on the right', async (t) => {
  setColor('on')
  t.teardown(() => setColor('auto'))
  const rows = [
    [cell('dead', 'red'), cell(7, 'yellow'), 'x'],
    ['delivered', 12_000, cell('long error', 'red')],
  ]
  t.equal(
    table(['STATE', 'COUNT', 'ERROR'], rows),
    [
      'STATE      COUNT  ERROR',
      '\u001b[31mdead     \u001b[39m  \u001b[33m    7\u001b[39m  x',
      'delivered  12000  \u001b[31mlong error\u001b[39m',
      '',
    ].join('\n'),
  )
})

t.test('lines are cut to the width of the terminal, in their style', async (t) => {
  t.equal(table(['A', 'B'], [['one', 'two and more, and more than that']], 25), 'A    B\none  two and more, and m…\n')
  setColor('on')
  t.teardown(() => setColor('auto'))
  t.equal(
    table(['A', 'B'], [['one', cell('two and more, and more than that', 'red')]], 25),
    'A    B\none  \u001b[31mtwo and more, and m…\u001b[39m\n',
  )
})

t.test('on a narrow terminal the widest columns are shortened, so that the last one is seen', async (t) => {
  const heading = ['ID', 'CALL', 'ERROR']
  const rows = [[1, '0a1b2c3d-0000-4000-8000-000000000001', 'connect ECONNREFUSED 127.0.0.1:9999']]
  const lines = (width: number) => table(heading, rows, width).split('\n')
  t.equal(lines(90)[1], ' 1  0a1b2c3d-0000-4000-8000-000000000001  connect ECONNREFUSED 127.0.0.1:9999')
  t.equal(lines(60)[1], ' 1  0a1b2c3d-0000-4000-80…  connect ECONNREFUSED 127.0.0.1:…')
  t.equal(lines(40)[1], ' 1  0a1b2c3d-00…  connect ECONNREFUSED …')
  t.same(lines(30), ['ID  CALL', ' 1  0a1b2c3d-00…', '  connect ECONNREFUSED 127.0.…', ''], 'or else goes beneath')
})

t.test('columns are as wide as a terminal shows their texts', async (t) => {
  const texts = ['日本語', '👍🏽', '🇩🇪', 'e\u0301a', 'ｱ', '한국', 'plain']
  const lines = table(
    ['ERROR', 'NEXT'],
    texts.map((text) => [text, '|']),
  ).split('\n')
  // What each leaves of the eight cells of the widest one and the gap.
  t.same(
    lines.slice(1, -1).map((line, index) => [texts[index], line.slice(texts[index]!.length).indexOf('|')]),
    [6, 2, 2, 2, 1, 4, 5].map((cells, index) => [texts[index], 8 - cells]),
  )
})

t.test('a text is cut between characters, to the cells of the terminal', async (t) => {
  const cutAt = (width: number, text: string) => table(['A'], [[text]], width).split('\n')[1]
  t.equal(cutAt(8, '日本語のエラー'), '日本語…', 'never more cells than there are')
  t.equal(cutAt(7, '日本語のエラー'), '日本語…')
  t.equal(cutAt(6, 'ab🇩🇪🇫🇷'), 'ab🇩🇪🇫🇷')
  t.equal(cutAt(5, 'ab🇩🇪🇫🇷'), 'ab🇩🇪…', 'a flag stays whole')
  t.equal(cutAt(3, 'e\u0301e\u0301e\u0301e\u0301'), 'e\u0301e\u0301…', 'a letter keeps its accent')
})

t.test('a table has any number of rows', async (t) => {
  const rows = Array.from({ length: 300_000 }, (_, index) => [index, 'x'])
  t.equal(table(['ID', 'B'], rows).length, 'ID      B\n'.length + rows.length * '     0  x\n'.length)
})

t.test('what came from elsewhere cannot break a line or talk to the terminal', async (t) => {
  const text = table(['ERROR'], [['two\r\nlines \u001b[31mred\u0007 \u009b1m \u202eright to left\u2028end']])
  t.equal(text, 'ERROR\ntwo lines  [31mred   1m  right to left end\n')
})

t.test('every column but the last is seen in full on a terminal of 80 columns', async (t) => {
  const counts = ['DUE', 'OLDEST', 'BACKOFF', 'WAITING', 'HELD', 'DEAD', 'PER MIN']
  const heading = ['TARGET', 'STATE', ...counts, 'BREAKER', 'LAST ERROR']
  const state = cell('paused (configuration)', 'yellow', 'paused')
  const breaker = cell('open, probe in 29s', 'red', 'open')
  for (const error of ['', 'http 503', 'connect ECONNREFUSED 127.0.0.1:9999']) {
    const rows = [['salesforce', state, 1_200_000, '23h 59m', 200_000, 150_000, 12, 3_456, 1_234.2, breaker, error]]
    const [head, row, ...more] = table(heading, rows, 80).split('\n')
    t.match(head, /^TARGET {5}STATE .* OLDEST +BACKOFF WAITING .*HELD DEAD PER MIN BREAKER$/)
    t.match(row, /^salesforce paused +1200000 23h 59m +200000 +150000 +12 +3456 +1234.2 open$/)
    t.ok(head!.length <= 80 && row!.length <= 80)
    t.equal(more.join('\n').trim(), error, 'the last one is beneath')
    t.match(table(heading, rows, 200), 'open, probe in 29s', 'with room for all, nothing is shortened')
  }
})

t.test(
  'ids and times are never cut: spare columns are left out, whole ones go beneath under their names',
  async (t) => {
    const [id, call, at] = [
      'evt_0198c0de0000700080000000000000aa',
      '0a1b2c3d-0000-4000-8000-00000000aaaa',
      '2026-01-15T12:00:00.000Z',
    ]
    const heading = [whole('ID'), whole('RECEIVED'), 'EVENT', spare('SOURCE'), whole('CALL'), 'DELIVERIES']
    const rows = [[id, at, 'call.ended', 'ultravox', call, 'dead 1, delivered 2']]
    t.same(table(heading, rows, 80).trimEnd().split('\n'), [
      `ID${' '.repeat(36)}RECEIVED${' '.repeat(18)}EVENT`,
      `${id}  ${at}  call.ended`,
      `  CALL ${call}`,
      '  dead 1, delivered 2',
    ])
    for (const width of [200, 100, 80, 60, 40, 20]) {
      const text = table(heading, rows, width)
      for (const each of [id, at, call]) t.match(text, each, `${width} columns`)
      t.match(text, width === 200 ? / SOURCE / : /^(?!.*SOURCE)/)
    }
  },
)
