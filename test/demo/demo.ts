/**
 * `npm run demo`: the whole relay in fifteen seconds, on throw-away files and free ports. A call's four webhooks go in,
 * one of them twice, and one that is forged; three targets get them, one of which is down at first. It ends with 0 only
 * if everything was as it says.
 */
import { spawn } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { styleText } from 'node:util'
import { LIFECYCLE_EVENTS } from '../../src/domain/sample-event.ts'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { bodyOf, send } from '../daemon/ultravox-sender.ts'
import { eventually } from '../eventually.ts'
import { MAIN } from '../main.ts'

/** The CRM answers 503 to so many requests before it takes any. */
const CRM_OUTAGE = 3

const failures: string[] = []
const startedAt = performance.now()

/** A line of the story, with its time. */
function tell(who: string, what: string, style: Parameters<typeof styleText>[0] = 'reset'): void {
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1).padStart(5)
  console.log(`${styleText('dim', `${seconds}s`)}  ${who.padEnd(9)} ${styleText(style, what)}`)
}

function chapter(title: string): void {
  console.log(`\n${styleText('bold', title)}`)
}

function check(what: string, actual: unknown, expected: unknown): void {
  const right = JSON.stringify(actual) === JSON.stringify(expected)
  if (!right) failures.push(`${what}: ${JSON.stringify(actual)} instead of ${JSON.stringify(expected)}`)
  console.log(`  ${right ? styleText('green', '✓') : styleText('red', '✗')} ${what}`)
}

function printTable(rows: readonly Record<string, unknown>[]): void {
  const cells = [Object.keys(rows[0]!), ...rows.map((row) => Object.values(row).map(String))]
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((line) => line[column]!.length)))
  for (const line of cells)
    console.log(`  ${line.map((cell, column) => cell.padEnd(widths[column]!)).join('  ')}`.trimEnd())
}

/** A local HTTP service that is given each request's body. */
async function service(
  answer: (body: string, headers: NodeJS.Dict<string | string[]>, response: ServerResponse) => void,
) {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    answer(Buffer.concat(chunks).toString(), request.headers, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => server.close() }
}

const directory = mkdtempSync(join(tmpdir(), 'ultravox-relay-demo-'))
const secret = randomBytes(24).toString('hex')
const callId = randomUUID()

let crmRequests = 0
const crm = await service((_body, headers, response) => {
  crmRequests += 1
  const down = crmRequests <= CRM_OUTAGE
  const attempt = `${headers['x-relay-event']}, attempt ${headers['x-relay-attempt']}`
  tell('crm', `${attempt}: ${down ? '503, the CRM is down' : '200, taken'}`, down ? 'yellow' : 'green')
  response.writeHead(down ? 503 : 200).end()
})
const messages: string[] = []
const slack = await service((body, _headers, response) => {
  const { text } = JSON.parse(body) as { text: string }
  messages.push(text)
  tell('slack', text.split('\n').join(' ⏎ '), 'green')
  response.end('ok')
})
const hook = join(directory, 'archive.sh')
writeFileSync(hook, '#!/bin/sh\ncat >> calls.ndjson && echo >> calls.ndjson\n')
chmodSync(hook, 0o755)
const config = join(directory, 'relay.yaml')
writeFileSync(
  config,
  `server:
  listen: 127.0.0.1:0
outbox:
  path: ./relay.db
sources:
  ultravox: { scheme: ultravox, secrets: ["\${DEMO_SECRET}"] }
targets:
  crm:     { type: http, url: "${crm.origin}/hooks/calls" }
  ops:     { type: slack, webhookUrl: "${slack.origin}/services/T000/B000/XXXX" }
  archive: { type: exec, command: [./archive.sh], concurrency: 1 }
routes:
  - events: ["*"]
    to: [archive, crm]
  - events: [call.ended, call.billed]
    when: call.endReason != 'unjoined'
    to: [ops]
retry: { initialDelay: 2s }
`,
)

chapter('A relay with three targets: a CRM that is down, a Slack channel, a shell hook')
console.log(readFileSync(config, 'utf8').trimEnd().replaceAll(/^/gm, styleText('dim', '  │ ')))
const relay = spawn(process.execPath, [MAIN, 'serve', '--config', config], {
  env: { PATH: process.env.PATH, DEMO_SECRET: secret },
  stdio: ['ignore', 'pipe', 'ignore'],
})
const ended = once(relay, 'close')
process.on('exit', () => relay.kill())
const url = await new Promise<string>((resolve, reject) => {
  createInterface(relay.stdout).on('line', (line) => {
    const entry = JSON.parse(line) as Record<string, string>
    if (entry.msg === 'relay started') resolve(`http://${entry.listen}/webhooks/ultravox`)
  })
  void ended.then(() => reject(new Error('the relay ended before it listened')))
})

chapter('Webhooks arrive')
const answers: number[] = []
const events = [...LIFECYCLE_EVENTS.slice(0, 3), 'call.ended', 'call.billed']
for (const [index, event] of events.entries()) {
  const { status } = await send(url, bodyOf(event, callId), { secret })
  const again = events.indexOf(event) < index
  tell(
    'ultravox',
    `${event}: ${status}, ${again ? 'a duplicate: not delivered again' : 'stored'}`,
    again ? 'cyan' : 'green',
  )
  answers.push(status)
}
const forged = await send(url, bodyOf('call.ended'), { secret: 'not the secret' })
tell('somebody', `call.ended with a forged signature: ${forged.status} ${JSON.parse(forged.text).error}`, 'red')

chapter('Deliveries')
const database = openDatabase(join(directory, 'relay.db'), { readonly: true })
const rows = (sql: string) => database.prepare(sql).all() as Record<string, unknown>[]
const count = (sql: string) => Number(Object.values(rows(sql)[0]!)[0])
await eventually(() => count("select count(*) from delivery_log where state = 'pending'") === 0, 'all settled')

chapter('What the outbox says')
printTable(rows('select event, target, state, attempts, last_status from delivery_log order by delivery_id'))

chapter('As promised?')
check('four events and a duplicate were acknowledged with 204', answers, [204, 204, 204, 204, 204])
check('the forged one was refused with 401', forged.status, 401)
check('four events are on record', count('select count(*) from event_log'), 4)
check('the second call.ended is counted as a duplicate', count('select sum(duplicates) from event_log'), 1)
check('the refusal is on record', rows('select reason from rejection_log'), [{ reason: 'signature_mismatch' }])
check(
  'every target got what is routed to it, none is left',
  rows('select target, state, count(*) as events from delivery_log group by 1, 2 order by 1'),
  [
    { target: 'archive', state: 'delivered', events: 4 },
    { target: 'crm', state: 'delivered', events: 4 },
    { target: 'ops', state: 'delivered', events: 2 },
  ],
)
check(
  'the CRM was asked again after each failure',
  count("select count(*) from attempt_log where outcome = 'failed'"),
  CRM_OUTAGE,
)
check(
  'the archive has four lines',
  readFileSync(join(directory, 'calls.ndjson'), 'utf8').trimEnd().split('\n').length,
  4,
)
check('Slack has two messages', messages.length, 2)
database.close()
relay.kill('SIGTERM')
check('the relay ended in good order', (await ended)[0], 0)

crm.close()
slack.close()
rmSync(directory, { recursive: true })
if (failures.length === 0) console.log(`\n${styleText('green', 'All as promised.')}`)
else console.log(`\n${styleText('red', 'Not as promised:')}\n${failures.map((failure) => `  ${failure}`).join('\n')}`)
process.exitCode = failures.length === 0 ? 0 : 1
