import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import type { Attempt, Delivery, Settlement } from '../../src/domain/delivery.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { commandsIn, sources } from '../daemon/operator-commands.ts'
import { MAIN, startRelay, writeConfig } from '../daemon/relay-process.ts'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { attemptAt, newEvent, to } from '../outbox/samples.ts'
import { scratch } from '../scratch.ts'

const DOCUMENT = 'docs/incident.md'
const CALLS = 100
const EVENTS = ['call.started', 'call.joined', 'call.ended', 'call.billed']
const ATTEMPTS = 3
const MINUTE = 60_000

/** A block of the document: a command, and what it prints. */
const BLOCK = /^```console\n\$ (.+)\n([\s\S]*?)^```$/gm

/** What an hour of calls leaves while the CRM answers 503 to everything and the archive takes all. */
async function anHourOfCalls(directory: string): Promise<void> {
  const outbox = await SqliteOutbox.open(join(directory, 'relay.db'), (error) => {
    throw error
  })
  const start = Date.now() - 65 * MINUTE
  const recorded: Promise<unknown>[] = []
  for (let call = 1; call <= CALLS; call++) {
    const callId = `3c90c3cc-0d44-4b50-8888-${String(call).padStart(12, '0')}`
    for (const [index, event] of EVENTS.entries()) {
      const receivedAt = start + call * 30_000 + index * MINUTE
      const body = Buffer.from(JSON.stringify({ event, call: { callId } }))
      recorded.push(outbox.record(newEvent({ event, callId, receivedAt, body }), to('archive', 'crm')))
    }
  }
  await Promise.all(recorded)
  await attemptAll(outbox, 'archive', (delivery) => [
    attemptAt(delivery, 'delivered', delivery.event.receivedAt),
    { state: 'delivered' },
  ])
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    await attemptAll(outbox, 'crm', (delivery) => {
      const at = delivery.event.receivedAt + attempt * 5_000
      const failed = { ...attemptAt(delivery, 'failed', at), response: 'upstream connect error' }
      return [failed, attempt === ATTEMPTS ? { state: 'dead' } : { state: 'pending', dueAt: at + 5_000 }]
    })
  }
  await outbox.close()
}

/** One attempt at every pending delivery to a target. */
async function attemptAll(outbox: SqliteOutbox, target: string, ending: (delivery: Delivery) => [Attempt, Settlement]) {
  const { deliveries } = await outbox.claim(target, CALLS * EVENTS.length, Date.now())
  await Promise.all(deliveries.map((delivery) => outbox.settle(delivery, ...ending(delivery))))
}

/** Text without what is another each time. */
function timeless(text: string): string {
  return (
    text
      .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
      .replace(/\/\S*\/relay/g, 'DIRECTORY/relay')
      .replace(/[\d.]+ (KB|MB|GB|B)\b/g, 'SIZE')
      .replace(/\bpid \d+/g, 'pid PID')
      .replace(/127\.0\.0\.1:\d+/g, 'ADDRESS')
      .replace(/[+-]?\b(\d+[dhms] ?)+(ago)?/g, 'AGE ')
      .replace(/(TIME +)\d+(?= +(failed|delivered|refused))/g, '$1N')
      .replace(/\b\d+ ms\b|\b\d+(\.\d+)?(?= {2}closed)/g, 'N')
      .replace(/ +/g, ' ')
      // Events of the last hour: how many depends on how fast the machine is.
      .replace(/AGE \d+/g, 'AGE N')
      .replace(/ +$/gm, '')
  )
}

/** The document, in parts that are played one by one: by the headings of the second level. */
const PARTS = readFileSync(DOCUMENT, 'utf8').split(/^(?=## )/m)

/** Plays the commands of a part of the document; what they print has to be what it says. `before`: called before each. */
async function play(t: Test, part: string, directory: string, before: (command: string) => Promise<void>) {
  const program = join(scratch(t), 'ultravox-relay')
  writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`, { mode: 0o755 })
  const shell = (command: string) =>
    new Promise<string>((resolve) => {
      const env = { PATH: `${dirname(program)}:${process.env.PATH}`, HOME: process.env.HOME }
      execFile('/bin/sh', ['-c', `(${command}) 2>&1`], { cwd: directory, env }, (_error, stdout) => resolve(stdout))
    })
  let actual = part
  let from = 0
  for (const [block, command, told] of part.matchAll(BLOCK)) {
    await before(command!)
    const printed = await shell(command!)
    t.equal(timeless(printed), timeless(told!), command!)
    const at = actual.indexOf(block, from)
    const fresh = `\`\`\`console\n$ ${command}\n${printed}\`\`\``
    actual = actual.slice(0, at) + fresh + actual.slice(at + block.length)
    from = at + fresh.length
  }
  // `tap --snapshot` writes it anew; whoever does reads it.
  if (process.env.TAP_SNAPSHOT !== '1') return
  PARTS[PARTS.indexOf(part)] = actual.replaceAll(directory, '/var/lib/ultravox-relay')
  writeFileSync(DOCUMENT, PARTS.join(''))
}

t.test('the incident in docs goes as it says', async (t) => {
  const directory = scratch(t)
  const crm = await httpServer(t, (response) => response.end('ok'))
  const config = writeConfig(directory, {
    sources,
    targets: {
      crm: { type: 'http', url: `${crm.origin}/calls`, retry: { maxAttempts: ATTEMPTS } },
      archive: { type: 'exec', command: ['/bin/cat'] },
    },
    routes: [{ events: ['call.*'], to: ['crm', 'archive'] }],
  })
  await anHourOfCalls(directory)
  await startRelay(t, config)
  const { deliveries } = commandsIn(directory)
  await play(t, PARTS[0]!, directory, async (command) => {
    if (!/list .*pending/.test(command)) return
    // What a reader of the document has waited for.
    await eventually(() => crm.received.length === CALLS * EVENTS.length + 1, 'the CRM has them all')
    await eventually(
      async () => (await deliveries('--target crm --state dead,pending')).length === 0,
      'all are settled',
    )
  })
  const renamed = PARTS.find((each) => each.startsWith('## A target is renamed'))
  await play(t, renamed!, directory, async (command) => {
    if (!/list .*pending/.test(command)) return
    await eventually(async () => (await deliveries('--state dead,pending')).length === 0, 'the new target has them')
  })
  const once = new Set(crm.received.map(({ headers }) => headers['webhook-id']))
  t.equal(once.size, CALLS * EVENTS.length + 1, 'each event once, and the sample')
})

t.test('the deploy in docs that answers 401 goes as it says', async (t) => {
  const directory = scratch(t)
  let status = 401
  const crm = await httpServer(t, (response) => response.writeHead(status).end('unknown token'))
  const target = { type: 'http', url: crm.origin, concurrency: 1, retry: { initialDelay: '10m', jitter: 0 } }
  const config = writeConfig(directory, { sources, targets: { crm: target }, routes: [{ events: ['*'], to: ['crm'] }] })
  const outbox = await SqliteOutbox.open(join(directory, 'relay.db'), (error) => t.fail(error.message))
  for (let call = 1; call <= 40; call++) {
    const callId = `3c90c3cc-0d44-4b50-8888-${String(call).padStart(12, '0')}`
    const body = Buffer.from(JSON.stringify({ event: 'call.ended', call: { callId } }))
    await outbox.record(newEvent({ event: 'call.ended', callId, receivedAt: Date.now(), body }), to('crm'))
  }
  await outbox.close()
  await startRelay(t, config)
  const { target: shown, deliveries } = commandsIn(directory)
  await eventually(async () => (await shown('crm'))?.breaker === 'open', 'the circuit is open')
  const part = PARTS.find((each) => each.startsWith('## A deploy that answers 401'))
  await play(t, part!, directory, async (command) => {
    if (/targets probe/.test(command)) status = 200
    if (/retry/.test(command))
      await eventually(async () => (await shown('crm'))?.due === 0, 'only those in backoff are left')
    const isLast = /list .*dead,pending/.test(command)
    if (isLast)
      await eventually(async () => (await deliveries('--state dead,pending')).length === 0, 'all are delivered')
  })
  const delivered = new Set(crm.received.map(({ headers }) => headers['webhook-id']))
  t.equal(delivered.size, 40, 'none is lost')
})
