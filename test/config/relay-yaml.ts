import { join } from 'node:path'
import type { Test } from 'tap'
import { type LoadedConfig, loadConfig } from '../../src/config/load.ts'
import { ConfigError, type Problem } from '../../src/config/problem.ts'

const SECTIONS = {
  sources: 'sources:\n  ultravox: { scheme: ultravox, secrets: [source-secret] }\n',
  targets: 'targets:\n  crm: { type: http, url: "https://crm.internal/calls" }\n',
  routes: 'routes:\n  - { events: ["*"], to: [crm] }\n',
}

/** Where the environment and the files beside relay.yaml come from in a test. */
export interface Beside {
  readonly env?: NodeJS.ProcessEnv
  readonly files?: Record<string, string>
}

/** The sections given, and a sound one for each that has to be there. */
export function completed(yaml: string): string {
  const missing = Object.entries(SECTIONS).filter(([name]) => !new RegExp(`^${name}:`, 'm').test(yaml))
  return [yaml.endsWith('\n') || yaml === '' ? yaml : `${yaml}\n`, ...missing.map(([, text]) => text)].join('')
}

/** Loads a relay.yaml with this text, completed, from a directory of its own. */
export function load(t: Test, yaml: string, { env = {}, files = {} }: Beside = {}): LoadedConfig {
  const directory = t.testdir({ 'relay.yaml': completed(yaml), ...files })
  return loadConfig(join(directory, 'relay.yaml'), { PATH: process.env.PATH, ...env })
}

/** What `load` refuses it for. */
export function problemsOf(t: Test, yaml: string, beside?: Beside): readonly Problem[] {
  try {
    load(t, yaml, beside)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

/** `▸` in the text marks where the only problem is to be told, with this path and these words. */
export interface Refusal extends Beside {
  readonly yaml: string
  readonly path: string
  readonly words: RegExp
}

/** By what the mistake is, as the subject of a sentence. */
export type Refusals = Readonly<Record<string, Refusal>>

/** Checks that exactly this is told. */
export function refuses(t: Test, { yaml, path, words, ...beside }: Refusal): void {
  expectAt(t, yaml, problemsOf(t, yaml.replace('▸', ''), beside), path, words)
}

/** Checks that the configuration is taken, and exactly this is warned about. */
export function warns(t: Test, { yaml, path, words, ...beside }: Refusal): void {
  expectAt(t, yaml, load(t, yaml.replace('▸', ''), beside).warnings, path, words)
}

function expectAt(t: Test, marked: string, problems: readonly Problem[], path: string, words: RegExp): void {
  const before = marked.slice(0, marked.indexOf('▸')).split('\n')
  const expected = { path, line: before.length, column: before.at(-1)!.length + 1 }
  const told = problems.map((problem) => ({ path: problem.path, line: problem.line, column: problem.column }))
  t.strictSame(told, [expected], problems.map(({ message }) => message).join('\n') || 'a problem')
  t.match(problems[0]?.message, words)
}
