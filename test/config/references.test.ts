import t from 'tap'
import { resolveReferences, withoutFallbacks } from '../../src/config/references.ts'

const files: Record<string, string> = {
  '/etc/relay/token': 'from-file\n',
  '/etc/relay/windows': 'from-file\r\n',
  '/etc/relay/two': 'from-file\n\n',
  '/etc/relay/blank': ' \n',
  '/run/credentials/hook': 'from-credential\n',
}
const sources = {
  env: { SET: 'value', EMPTY: '', CREDENTIALS_DIRECTORY: '/run/credentials', DOLLARS: '${SET}$&' },
  directory: '/etc/relay',
  readFile: (path: string) => {
    const text = files[path]
    if (text === undefined) throw Object.assign(new Error('no'), { code: 'ENOENT' })
    return text
  },
}
const resolved = (text: string) => {
  const { value, findings } = resolveReferences(text, sources)
  return { value, findings }
}

t.test('every kind of reference is replaced, within other text too', async (t) => {
  const expected = {
    '${SET}': 'value',
    'a ${SET}-${SET} b': 'a value-value b',
    '${NOT_SET:-default: a/b}': 'default: a/b',
    '${NOT_SET:-}': '',
    '${SET:-default}': 'value',
    '${EMPTY:-default}': 'default',
    '${EMPTY:-}': '',
    '${file:/etc/relay/token}': 'from-file',
    '${file:./token}': 'from-file',
    '${file:windows}': 'from-file',
    '${file:two}': 'from-file\n',
    '${credential:hook}': 'from-credential',
    '$${SET}': '${SET}',
    'costs $5 {a} $SET': 'costs $5 {a} $SET',
  }
  for (const [text, value] of Object.entries(expected)) t.strictSame(resolved(text), { value, findings: [] }, text)
})

t.test('a default may hold references and braces of its own', async (t) => {
  const expected = {
    '${NO:-${SET}}': 'value',
    '${SET:-${NO}}': 'value',
    '${NO:-${NO2:-${SET}}} b': 'value b',
    '${NO:-a-${SET}-b}': 'a-value-b',
    '${NO:-${file:token}}': 'from-file',
    '${EMPTY:-${credential:hook}}': 'from-credential',
    '${NO:-{"a":{"b":1}}}': '{"a":{"b":1}}',
    '${SET:-{{ call.id }}}': 'value',
    '${NO:-{{ call.id }}}': '{{ call.id }}',
    '${NO:-$${SET}}': '${SET}',
    '$$${SET}': '$${SET}',
    '${file:${DIR:-./}token}': 'from-file',
    '}${SET}{': '}value{',
  }
  for (const [text, value] of Object.entries(expected)) t.strictSame(resolved(text), { value, findings: [] }, text)
})

t.test('a default that is needed and cannot be resolved is reported where it stands', async (t) => {
  t.match(resolved('Bearer ${NO:-x-${NO2}}'), {
    value: undefined,
    findings: [{ message: /^\$\{NO2\}: this environment variable is not set/, at: 'Bearer ${NO:-x-'.length }],
  })
  t.match(resolved('${A:-${B}').findings, [{ message: /"\$\{" without its "\}"/ }])
  t.match(resolved(`${'${A:-'.repeat(100_000)}x`).findings, [{ message: /nested more than 16 deep|without its/ }])
})

t.test('a variable or file with nothing in it is no value', async (t) => {
  t.match(resolved('${EMPTY}').findings, [{ message: /is set, but empty: set it, or write \$\{EMPTY:-\}/ }])
  t.match(resolved('${file:blank}').findings, [{ message: /the file is empty/ }])
})

t.test('a message shows nothing that may be a secret', async (t) => {
  for (const text of [
    '${NO:-se-cret',
    '${A-se-cret}',
    '${A:=se-cret}',
    '${A:?se-cret}',
    '${env:A:-se-cret}',
    '${ A:-se-cret }',
  ]) {
    const { findings } = resolved(text)
    t.equal(findings.length, 1, text)
    t.notMatch(findings[0]!.message, 'se-cret', text)
  }
  t.equal(withoutFallbacks('a ${A:-{"x":"se-cret"}} $${b} ${B:-${C:-se-cret}}'), 'a ${A:-…} $${b} ${B:-…}')
})

t.test('what a reference stands for is not looked at again', async (t) => {
  t.equal(resolved('${DOLLARS}').value, '${SET}$&')
})

t.test('values are replaced at any depth, keys and other kinds of values are not', async (t) => {
  const { value } = resolveReferences({ '${SET}': [{ a: '${SET}' }, 1, null, true] }, sources)
  t.strictSame(value, { '${SET}': [{ a: 'value' }, 1, null, true] })
})

t.test('a text with a reference that cannot be had is undefined, and says why for each', async (t) => {
  const { value, findings } = resolveReferences({ a: ['x', '${NO} ${file:no} ${SET}'] }, sources)
  t.strictSame(value, { a: ['x', undefined] })
  t.match(findings, [
    { path: ['a', 1], message: /^\$\{NO\}: .*not set/ },
    { path: ['a', 1], message: /^\$\{file:no\}: .*there is none/ },
  ])
})

t.test('text that only looks like a reference says what to write', async (t) => {
  for (const text of ['${}', '${1A}', '${A-b}', '${file:}', '${credential:}', '${credential:a/b}', '${A', '${env:A}']) {
    t.match(resolved(text).findings, [{ path: [], message: /write|names no file/ }], text)
  }
})
