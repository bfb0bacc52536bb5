import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { request } from 'undici'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { type Finished, startRelay, writeConfig } from './relay-process.ts'
import { runCommand } from './run-command.ts'
import { startCommand } from './terminal.ts'

/** Sets the title, erases the screen, turns the direction of text, and begins a control sequence in one character. */
const HOSTILE = 'x\u001b]0;owned\u0007\u001b[2J\u202egnp\u009b31m\u007f\r\ud800\u2028y'
const ACTED_ON = /(?![\t\n])[\p{Cc}\p{Cs}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u
const SHOWN = /x(\\u001b| )\]0;owned/

const sources = { open: { scheme: 'none' }, signed: { scheme: 'ultravox', secrets: ['whsec-of-this-test'] } }

t.test('no command prints what a terminal would act on', async (t) => {
  const provider = await httpServer(t, (response) => response.writeHead(400).end(JSON.stringify({ detail: HOSTILE })))
  const crm = await httpServer(t, (response) => response.writeHead(500).end(HOSTILE))
  const directory = scratch(t)
  const config = writeConfig(directory, {
    sources,
    targets: { crm: { type: 'http', url: crm.origin, retry: { initialDelay: '1h' } } },
    routes: [{ events: ['*'], when: 'call.shortSummary', to: ['crm'] }],
    ultravox: { apiKey: 'key-of-this-test', baseUrl: provider.origin },
  })
  const relay = await startRelay(t, config)
  const body = JSON.stringify({ event: `call.${HOSTILE}`, call: { callId: HOSTILE, shortSummary: HOSTILE } })
  const raw = body.replaceAll('\\u007f', '\u007f')
  for (const source of ['open', 'signed']) {
    await request(`${relay.origin}/webhooks/${source}`, {
      method: 'POST',
      body: raw,
      headers: { 'user-agent': 'a\u009bb', 'x-ultravox-webhook-timestamp': '\u009b' },
    })
  }
  await eventually(() => relay.log.some(({ msg }) => msg === 'delivery attempted'), 'it was attempted')
  const ended = await relay.end('SIGTERM')
  const printed: Finished[] = [ended]
  const run = async (...args: string[]) => {
    const finished = await runCommand(args, directory)
    printed.push(finished)
    return finished
  }
  writeFileSync(join(directory, 'event.json'), raw)
  const { events } = JSON.parse((await run('events', 'list', '--json')).stdout) as { events: { eventId: string }[] }
  const id = events[0]!.eventId
  for (const command of [
    `events list`,
    `events show ${id}`,
    `calls show ${HOSTILE}`,
    'deliveries list',
    'deliveries show 1',
    'rejections list',
    'rejections show 1',
    'targets list',
    'targets test crm',
    'status',
    'tail --only events,attempts,refusals',
    'match event.json',
    'webhooks list',
    'doctor',
    `events list --source ${HOSTILE}`,
  ]) {
    await run(...command.split(' '))
    await run(...command.split(' '), '--json')
  }
  t.match((await run('webhooks', 'list')).stderr, SHOWN)
  t.match((await run('check', '--config', `${HOSTILE}.yaml`)).stderr, SHOWN)
  t.match((await run('events', HOSTILE)).stderr, SHOWN)
  t.match((await run(HOSTILE)).stderr, SHOWN)
  t.match((await run('status', `--${HOSTILE}`)).stderr, SHOWN)
  t.match((await run('events', 'list', '--since', HOSTILE)).stderr, SHOWN)
  writeFileSync(
    join(directory, 'odd.yaml'),
    `sources: { "a\\e]0;x\\a": { scheme: none } }\n? "b\\e[2J\\x9b"\n: 1\nx: "\u0085\u009b`,
  )
  t.equal((await run('check', '--config', 'odd.yaml')).code, 2)
  t.equal((await run('check', '--config', 'odd.yaml', '--json')).code, 2)
  for (const { stdout, stderr } of printed) {
    for (const text of [stdout, stderr]) if (ACTED_ON.test(text)) t.notMatch(text, ACTED_ON)
  }
  t.ok(printed.length > 35)
})

t.test('nor does the log for people', async (t) => {
  const directory = scratch(t)
  writeConfig(directory, {
    sources,
    targets: { crm: { type: 'exec', command: ['cat'] } },
    routes: [{ events: ['*'], to: ['crm'] }],
  })
  const running = startCommand(t, 'serve --log-format pretty', directory)
  const listening = () => /listen=(\S+)/.exec(running.output())?.[1]
  await eventually(() => listening() !== undefined, 'it starts')
  await request(`http://${listening()}/webhooks/open`, { method: 'POST', body: JSON.stringify({ event: HOSTILE }) })
  await eventually(() => running.output().includes('owned'), 'it is logged')
  await running.interrupt()
  t.notMatch(running.output(), ACTED_ON)
})

t.test('a payload goes into a file as it came', async (t) => {
  const directory = scratch(t)
  const config = writeConfig(directory, {
    sources,
    targets: { crm: { type: 'exec', command: ['cat'] } },
    routes: [{ events: ['*'], to: ['crm'] }],
  })
  const relay = await startRelay(t, config)
  const body = '{"event":"x","call":{"callId":"c","note":"\u009b\u202e"}}'
  await request(`${relay.origin}/webhooks/open`, { method: 'POST', body })
  await relay.end('SIGTERM')
  const { events } = JSON.parse((await runCommand(['events', 'list', '--json'], directory)).stdout)
  t.equal((await runCommand(['events', 'show', events[0].eventId, '--payload'], directory)).stdout, body)
})
