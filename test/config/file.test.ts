import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { ConfigError } from '../../src/config/problem.ts'

function messageOf(file: string): string {
  try {
    loadConfig(file, {})
    return ''
  } catch (error) {
    if (error instanceof ConfigError && error.code === 'config_invalid') return error.message
    throw error
  }
}

t.test('a file that is not there says how to start', async (t) => {
  const file = join(t.testdir(), 'relay.yaml')
  const start = 'make one to start with by "ultravox-relay init"'
  t.equal(messageOf(file), `${file}:1:1: there is no such file: ${start}, or name another with --config FILE`)
})

t.test('a directory, an empty file, a list and plain text each say what they are', async (t) => {
  const directory = t.testdir({ empty: '# nothing\n', list: '- a\n', text: 'hello\n' })
  t.match(messageOf(directory), /:1:1: is a directory/)
  t.match(messageOf(join(directory, 'empty')), /is empty: make one/)
  t.match(messageOf(join(directory, 'list')), /holds a list instead of sections/)
  t.match(messageOf(join(directory, 'text')), /holds text instead of sections/)
})

t.test('broken YAML is told at its lines, all of them, and nothing else is', async (t) => {
  const yaml = 'server:\n  listen: a: b\nsources: {}\ntargets: [${X}, a]\nroutes:\n\t- x\n'
  const file = join(t.testdir({ 'relay.yaml': yaml }), 'relay.yaml')
  const told = messageOf(file).split('\n')
  t.match(told, [
    /:2:11: is not valid YAML: there is a second ": " on this line; put the value into quotes/,
    /:4:\d+: is not valid YAML: a "," or ":" is missing; inside \[ \] or \{ \}, put \$\{\.\.\.\} into quotes/,
    /:6:1: is not valid YAML/,
  ])
  t.equal(told.length, 3)
})

t.test('the usual slips in YAML say what to do about them', async (t) => {
  const slips: [string, RegExp][] = [
    ['a: [*]', /:1:5: .*\["\*"\]/],
    ['a: [*.ended]', /:1:5: .*put it into quotes/],
    ['a: "x', /:1:4: .*a quote is opened here and never closed/],
    ['a: { b: "x }\nc: 1\nd: [x]', /:1:9: .*a quote is opened here/],
    ['a: {{call}}', /:1:4: .*a template needs quotes, as in "\{\{ call.callId \}\}"/],
    ['a: {{ call.id }} ended', /:1:4: .*a template needs quotes/],
    ['a: [x, {{call}}]', /:1:8: .*a template needs quotes/],
    ['a:\n  b: [x\n  c: [y]\nd: 1', /:2:6: .*this "\[" is never closed; write its "\]"$/],
    ['a: { b: [x, c: [y] }', /:1:9: .*this "\[" is never closed/],
    ['a: { b: 1\nc: 2', /:1:4: .*this "\{" is never closed; write its "\}"$/],
    ['a: { b: x #y }\nc: 2', /:1:4: .*is never closed.*what follows " #" on its line is a comment/],
    ['a: [x]]', /:1:7: .*this "\]" closes nothing/],
    ['a:\n\tb: 1\n\tc:\n\t\td: 1', /:2:1: .*a tab cannot indent; use spaces \(so do 2 more below\)$/],
    ['a:\n  b: 1\n\tc: 2\n  d: 3', /:3:1: .*a tab cannot indent; use spaces$/],
    ['routes: [{ to: *nope }]', /:1:16: .*no anchor is named nope; if it is a text, put it into quotes/],
    ['a: &main 1\nroutes: *mian', /no anchor is named mian \(did you mean "main"\?\)/],
    ['a:\n  password: *hunter', /no anchor is named like this/],
    ['a: { <<: 1 }', /:1:6: << takes mappings: write <<: \*name/],
    ['a: &x [1]\nb: { <<: *x }', /:2:6: << takes mappings/],
    ['a: { url: ${URL} }', /:1:11: .*put \$\{...\} into quotes here/],
    ['a:\n  b:1\n  c: 2', /:2:5: .*a blank is missing after ":"/],
    ['a:\n- b: 1\n  to:\n  -crm', /:4:4: .*a blank is missing after "-"/],
    ['a:\n  b:\u00a0x\n  c: 1', /:2:5: .*a special blank is here/],
    ['a: 1\n---\nb: 2', /second document/],
    ['a: { __proto__: x }', /:1:6: this cannot be a key/],
    ['a: &k [x]\n? *k\n: b', /:2:3: a list or mapping cannot be a key/],
    ['a: @x', /cannot start with this character/],
    ['a: !x y', /starts with ! is a tag/],
    ['a:\n  b: 1\n c: 2', /indented differently/],
    ['a: &x [*x]', /stands inside of what it stands for/],
    ['a: "\\q"', /escape between double quotes/],
  ]
  for (const [yaml, words] of slips) {
    const message = messageOf(join(t.testdir({ 'relay.yaml': yaml }), 'relay.yaml'))
    t.match(message, words, yaml)
    t.notMatch(message, '\n', `one slip, one error: ${yaml}`)
  }
})

t.test('UTF-16 is called by its name, with a byte order mark and without', async (t) => {
  const text = Buffer.from('\ufeffsources: {}\n', 'utf16le')
  for (const bytes of [text, Buffer.from(text).swap16(), text.subarray(2)]) {
    const file = join(t.testdir({ 'relay.yaml': bytes }), 'relay.yaml')
    t.match(messageOf(file), /:1:1: is UTF-16 text, as Windows saves it as "Unicode": save it as UTF-8/)
  }
})
