import { spawnSync } from 'node:child_process'
import t, { type Test } from 'tap'
import { request } from 'undici'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { startAtTerminal, startCommand } from './terminal.ts'

const CONFIG = {
  sources: { open: { scheme: 'none' } },
  targets: { crm: { type: 'exec', command: ['cat'] } },
  routes: [{ events: ['*'], to: ['crm'] }],
}
const JSON_LINE = /^\{"level":"info","time":"[^"]+","version":.*"msg":"relay started"\}\r?$/m
const PRETTY_LINE = /^\d\d:\d\d:\d\d\.\d{3} INFO {2}relay started {2}version=\S+ listen=127\.0\.0\.1:\d+ /m
const COLOURED_LINE = '\u001b[32mINFO \u001b[39m relay started'

const noTerminal = spawnSync('script', ['--version']).status === 0 ? false : "util-linux's script is not installed"

/** Runs it until it has started and ended; gives all it has said. */
async function saidBy(t: Test, line: string, start: typeof startCommand): Promise<string> {
  const directory = scratch(t)
  writeConfig(directory, CONFIG)
  const running = start(t, line, directory)
  await eventually(() => running.output().includes('relay started'), 'it starts')
  await running.interrupt()
  t.match(running.output(), 'relay stopped', 'no line is lost at the end')
  return running.output()
}

const atTerminal: typeof startCommand = (t, line, directory) => startAtTerminal(t, line, directory, 120, 40)

t.test('at a terminal lines are for people, in colour', { skip: noTerminal }, async (t) => {
  t.match(await saidBy(t, 'serve', atTerminal), COLOURED_LINE)
  t.match(await saidBy(t, 'serve --color off', atTerminal), PRETTY_LINE)
  t.match(await saidBy(t, 'serve --log-format json', atTerminal), JSON_LINE)
})

t.test('in a pipe they are JSON, as all other tests read them, unless said otherwise', async (t) => {
  t.match(await saidBy(t, 'serve --log-format pretty', startCommand), PRETTY_LINE)
})

t.test('log.level says which lines there are, and a reload changes it', async (t) => {
  const directory = scratch(t)
  const relay = await startRelay(t, writeConfig(directory, { ...CONFIG, log: { level: 'info' } }))
  const health = async () => (await request(`${relay.origin}/healthz`)).body.dump()
  const reload = async (level: string, outcome: string) => {
    const before = relay.log.length
    writeConfig(directory, { ...CONFIG, log: { level } })
    relay.process.kill('SIGHUP')
    await eventually(() => relay.log.slice(before).some(({ msg }) => msg === outcome), `${outcome}: ${level}`)
  }
  await health()
  await reload('debug', 'configuration reloaded')
  const reloaded = relay.log.findLast(({ msg }) => msg === 'configuration reloaded')
  t.match(reloaded, { changed: ['log changed: level'] })
  await health()
  await eventually(() => relay.log.some(({ path }) => path === '/healthz'), 'the line of the second request')
  t.equal(relay.log.filter(({ path }) => path === '/healthz').length, 1)
  await reload('loud', 'configuration not reloaded, the old one stays')
  await health()
  await eventually(() => relay.log.filter(({ path }) => path === '/healthz').length === 2, 'the level is as it was')
})
