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
    ['a: "x', /a quote is opened and never closed/],
    ['a: {{call}}', /cannot be a key: put a value that starts with \{/],
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
    t.match(messageOf(join(t.testdir({ 'relay.yaml': yaml }), 'relay.yaml')), words, yaml)
  }
})
