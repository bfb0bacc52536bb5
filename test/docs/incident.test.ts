import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
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
      .replace(/\b\d+ ms\b|\b\d+(\.\d+)?(?= {2}closed)/g, 'N')
      .replace(/ +/g, ' ')
      // Events of the last hour: how many depends on how fast the machine is.
      .replace(/AGE \d+/g, 'AGE N')
      .replace(/ +$/gm, '')
  )
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
  const program = join(scratch(t), 'ultravox-relay')
  writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`, { mode: 0o755 })
  const shell = (command: string) =>
    new Promise<string>((resolve) => {
      const env = { PATH: `${dirname(program)}:${process.env.PATH}`, HOME: process.env.HOME }
      execFile('/bin/sh', ['-c', `(${command}) 2>&1`], { cwd: directory, env }, (_error, stdout) => resolve(stdout))
    })

  const { deliveries } = commandsIn(directory)
  const document = readFileSync(DOCUMENT, 'utf8')
  let actual = document
  let from = 0
  for (const [block, command, told] of document.matchAll(BLOCK)) {
    if (/list .*pending/.test(command!)) {
      // What a reader of the document has waited for.
      await eventually(() => crm.received.length === CALLS * EVENTS.length + 1, 'the CRM has them all')
      await eventually(
        async () => (await deliveries('--target crm --state dead,pending')).length === 0,
        'all are settled',
      )
    }
    const printed = await shell(command!)
    t.equal(timeless(printed), timeless(told!), command!)
    const at = actual.indexOf(block, from)
    const fresh = `\`\`\`console\n$ ${command}\n${printed}\`\`\``
    actual = actual.slice(0, at) + fresh + actual.slice(at + block.length)
    from = at + fresh.length
  }
  // `tap --snapshot` writes it anew; whoever does reads it.
  if (process.env.TAP_SNAPSHOT === '1') writeFileSync(DOCUMENT, actual.replaceAll(directory, '/var/lib/ultravox-relay'))
  const once = new Set(crm.received.map(({ headers }) => headers['webhook-id']))
  t.equal(once.size, CALLS * EVENTS.length + 1, 'each event once, and the sample')
})
