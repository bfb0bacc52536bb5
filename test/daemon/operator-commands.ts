import { join } from 'node:path'
import type { Test } from 'tap'
import type { NewEvent } from '../../src/domain/event.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { httpServer } from '../local-server.ts'
import { attemptAt, newEvent, to } from '../outbox/samples.ts'
import { runCommand } from './run-command.ts'
import { SECRET } from './ultravox-sender.ts'

/** A JSON object that a command has printed. */
export interface Row {
  readonly [key: string]: unknown
}

export const sources = { ultravox: { scheme: 'ultravox', secrets: [SECRET] } }
export const sink = { type: 'exec', command: ['cat'] }

/** A service that is down (410, so that deliveries to it are dead at once) or up. */
export async function service(t: Test, up: boolean) {
  const state = { up }
  const { origin, received } = await httpServer(t, (response) => response.writeHead(state.up ? 200 : 410).end('gone'))
  const ids = () => received.map(({ headers }) => headers['webhook-id'])
  return { target: { type: 'http', url: origin }, received, ids, state }
}

/** Commands in a configuration's directory. */
export function commandsIn(directory: string) {
  const run = (line: string, ...more: string[]) => runCommand([...line.split(' '), ...more], directory)
  async function json(line: string, ...more: string[]): Promise<Row> {
    const { code, stdout, stderr } = await run(line, ...more, '--json')
    if (code !== 0) throw new Error(`${line} ended with ${code}: ${stderr}`)
    return JSON.parse(stdout) as Row
  }
  return {
    run,
    /** With more variables in its environment. */
    runWith: (env: NodeJS.ProcessEnv, line: string) => runCommand(line.split(' '), directory, env),
    json,
    deliveries: async (filter = '') => (await json(`deliveries list ${filter}`.trim())).deliveries as Row[],
    target: async (name: string) =>
      ((await json('targets list')).targets as Row[]).find(({ target }) => target === name),
  }
}

/** Fills an outbox that no relay runs on; `end` is what becomes of each delivery. */
export async function fill(
  directory: string,
  events: Partial<NewEvent>[],
  targets: string[],
  end?: 'delivered' | 'dead',
) {
  const outbox = await SqliteOutbox.open(join(directory, 'relay.db'), (error) => {
    throw error
  })
  const recorded = events.map((event) => ({ event: newEvent({ account: 'default', ...event }), targets }))
  await Promise.all(recorded.map(({ event }) => outbox.record(event, to(...targets))))
  for (const target of end === undefined ? [] : targets) {
    const { deliveries } = await outbox.claim(target, 1_000_000, Number.MAX_SAFE_INTEGER)
    const outcome = end === 'dead' ? 'refused' : 'delivered'
    await Promise.all(deliveries.map((each) => outbox.settle(each, attemptAt(each, outcome), { state: end! })))
  }
  await outbox.close()
  return recorded.map(({ event }) => event.eventId)
}
