import t from 'tap'
import { resolveReferences } from '../../src/config/references.ts'

const files: Record<string, string> = {
  '/etc/relay/token': 'from-file\n',
  '/etc/relay/windows': 'from-file\r\n',
  '/etc/relay/two': 'from-file\n\n',
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
const resolved = (text: string) => resolveReferences(text, sources)

t.test('every kind of reference is replaced, within other text too', async (t) => {
  const expected = {
    '${SET}': 'value',
    'a ${SET}-${SET} b': 'a value-value b',
    '${NOT_SET:-default: a/b}': 'default: a/b',
    '${NOT_SET:-}': '',
    '${SET:-default}': 'value',
    '${EMPTY:-default}': 'default',
    '${EMPTY}': '',
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
