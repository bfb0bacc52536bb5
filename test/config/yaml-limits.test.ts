import { join } from 'node:path'
import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { ConfigError, type Problem } from '../../src/config/problem.ts'
import { load, problemsOf } from './relay-yaml.ts'

/** What a file is refused for as a whole. */
function faultsOf(t: Test, yaml: string): readonly Problem[] {
  try {
    loadConfig(join(t.testdir({ 'relay.yaml': yaml }), 'relay.yaml'), {})
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

// Without a bound, the last of these ends the process: V8 does not throw where a stack ends in the middle of its work on a
// regular expression.
t.test('a file may be nested 100 levels deep, and what is deeper is told where it gets too deep', async (t) => {
  for (const [what, deep] of Object.entries({
    lists: (levels: number) => `x: ${'['.repeat(levels)}${']'.repeat(levels)}`,
    mappings: (levels: number) => `x: ${'{a: '.repeat(levels)}1${'}'.repeat(levels)}`,
    'lists that are never closed': (levels: number) => `x: ${'['.repeat(levels)}`,
    'lists by dashes': (levels: number) => `x:\n ${'- '.repeat(levels)}1`,
    'mappings by indentation': (levels: number) =>
      Array.from({ length: levels }, (_, level) => `${' '.repeat(level)}a:`).join('\n'),
  })) {
    t.notMatch(faultsOf(t, deep(90)), [{ message: /nested/ }], `90 ${what}`)
    for (const levels of [110, 1_000, 3_000]) {
      t.match(
        faultsOf(t, deep(levels)),
        [{ line: Number, column: Number, message: /^is not valid YAML: it is nested more than 100 levels/ }],
        `${levels} ${what}`,
      )
    }
  }
  t.match(faultsOf(t, `a: 1\nx:\n  - ${'['.repeat(100_000)}`), [{ line: 3, column: Number }])
})

t.test('aliases of aliases that come to more than memory holds are told where they get too many', async (t) => {
  const level = (n: number) => `a${n}: &a${n} [${Array.from({ length: 10 }, () => `*a${n - 1}`).join(', ')}]\n`
  const bomb = `a0: &a0 [x]\n${Array.from({ length: 20 }, (_, n) => level(n + 1)).join('')}`
  t.match(faultsOf(t, bomb), [{ line: 6, column: 15, message: /stands for more than 50000 values/ }])
})

t.test('a hundred and fifty targets may share a policy', async (t) => {
  const target = (n: number) => `  t${n}: { type: http, url: "https://t${n}.test/", retry: *policy }\n`
  const targets = Array.from({ length: 150 }, (_, n) => target(n)).join('')
  const to = Array.from({ length: 150 }, (_, n) => `t${n}`).join(', ')
  const yaml = `retry: &policy { maxAttempts: 3 }\ntargets:\n${targets}routes: [{ events: ["*"], to: [${to}] }]\n`
  t.equal(load(t, yaml).config.targets.t149?.retry.maxAttempts, 3)
})

t.test('an alias stands for the last anchor of its name', async (t) => {
  const yaml = 'retry: { maxAttempts: &n 3, initialDelay: &n 4s, maxDelay: *n }\n'
  t.equal(load(t, yaml).config.targets.crm?.retry.maxDelayMs, 4_000)
  t.match(problemsOf(t, 'retry: { maxAttempts: *m, initialDelay: &m 4s }\n'), [{ line: 1, column: 23 }])
})
