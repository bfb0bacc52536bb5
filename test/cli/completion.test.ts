import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { MAIN, runRelay } from '../daemon/relay-process.ts'

const lists = { deliveries: ['list', 'show', 'retry', 'cancel'], '--col': ['--color'] }

function isInstalled(shell: string): boolean {
  return spawnSync(shell, ['--version']).status === 0
}

const scripts: Record<string, Buffer> = {}

/** The script for a shell, in a file of its own. */
function scriptFor(t: { testdir(): string }, shell: string): string {
  const file = join(t.testdir(), `completion.${shell}`)
  scripts[shell] ??= execFileSync(process.execPath, [MAIN, 'completion', shell])
  writeFileSync(file, scripts[shell])
  return file
}

/** What bash proposes for the last of these words. */
function bash(script: string, ...words: string[]): string[] {
  const program = `
    source "$1"; shift
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
    $(complete -p ultravox-relay | sed 's/.*-F \\([^ ]*\\).*/\\1/')
    printf '%s\\n' "\${COMPREPLY[@]}"`
  const told = execFileSync('bash', ['-c', program, 'bash', script, ...words], { encoding: 'utf8' })
  return told.split('\n').filter((line) => line !== '')
}

t.test('bash completes commands, subcommands, options and choices', async (t) => {
  const script = scriptFor(t, 'bash')
  t.same(bash(script, 'ultravox-relay', 'deli'), ['deliveries'])
  t.same(
    lists.deliveries.filter((name) => !bash(script, 'ultravox-relay', 'deliveries', '').includes(name)),
    [],
  )
  t.same(bash(script, 'ultravox-relay', 'deliveries', 'list', '--targ'), ['--target'])
  t.same(bash(script, 'ultravox-relay', 'deliveries', 'list', '--json', '--col'), lists['--col'])
  t.same(bash(script, 'ultravox-relay', 'check', '--color', 'o'), ['on', 'off'])
  t.same(bash(script, 'ultravox-relay', 'completion', 'z'), ['zsh'])
  t.same(bash(script, 'ultravox-relay', 'check', '--since'), [], 'an option of other commands')
  t.same(bash(script, 'ultravox-relay', 'deliveries', 'list', '--error', 'deli'), [], 'a value is no command')
})

t.test('bash completes values, and the names in the configuration that is meant', async (t) => {
  const script = scriptFor(t, 'bash')
  const program = join(t.testdirName, 'ultravox-relay')
  writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`, { mode: 0o755 })
  const config = join(t.testdirName, 'a b.yaml')
  writeFileSync(
    config,
    `targets: { crm: {}, ops: {}, "$(touch ${t.testdirName}/trap)": {} }\nsources: { ultravox: {} }\nno: such key\n`,
  )
  const [list, states] = [
    ['deliveries', 'list'],
    ['pending', 'delivered', 'dead', 'cancelled'],
  ]
  t.same(bash(script, program, ...list, '--state', ''), states)
  t.same(bash(script, program, ...list, '--state', '=', ''), states, 'bash splits at =')
  t.same(bash(script, program, ...list, '--state', '='), states)
  t.same(bash(script, program, ...list, '-o', ''), ['json', 'wide'])
  t.same(bash(script, program, 'tail', '--event', 'call.e'), ['call.ended'])
  t.same(bash(script, program, ...list, '-c', config, '--target', ''), ['crm', 'ops'])
  t.same(bash(script, program, 'targets', 'pause', '--config', '=', config, 'o'), ['ops'])
  t.same(bash(script, program, 'events', 'list', '-c', config, '--source', 'u'), ['ultravox'])
  t.same(bash(script, program, 'events', 'list', '-c', join(t.testdirName, 'none.yaml'), '--source', ''), [])
  t.notOk(readdirSync(t.testdirName).includes('trap'))
})

t.test('bash runs nothing of what has been typed', async (t) => {
  const script = scriptFor(t, 'bash')
  const trap = join(t.testdirName, 'trap')
  bash(script, 'ultravox-relay', `$(touch ${trap})`, `;touch ${trap};`, '')
  t.same(readdirSync(t.testdirName), ['completion.bash'])
})

t.test('fish completes the same', { skip: !isInstalled('fish') && 'there is no fish' }, async (t) => {
  const script = scriptFor(t, 'fish')
  const propose = (line: string) => {
    const told = execFileSync('fish', ['--no-config', '-c', 'source $argv[1]; complete -C $argv[2]', script, line])
    return told
      .toString()
      .split('\n')
      .map((each) => each.split('\t')[0])
  }
  t.match(propose('ultravox-relay deli'), ['deliveries', ''])
  for (const name of lists.deliveries) t.ok(propose('ultravox-relay deliveries ').includes(name), name)
  t.notOk(propose('ultravox-relay deliveries ').includes('serve'))
  t.same(propose('ultravox-relay deliveries list --targ'), ['--target', ''])
  t.same(propose('ultravox-relay check --color o'), ['on', 'off', ''])
  t.same(propose('ultravox-relay deliveries list --state d'), ['delivered', 'dead', ''])
})

t.test('zsh takes its script', { skip: !isInstalled('zsh') && 'there is no zsh' }, async (t) => {
  const program = 'source $1 && print $+_comps[ultravox-relay]'
  t.equal(execFileSync('zsh', ['-fc', program, 'zsh', scriptFor(t, 'zsh')]).toString(), '1\n')
})

t.test('a shell it does not know is told with those it does', async (t) => {
  t.match(await runRelay(['completion', 'tcsh'], t.testdir()), { code: 2, stdout: '', stderr: /bash, zsh, fish/ })
})
