import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Agent, request } from 'undici'
import { Secret } from '../../src/domain/secret.ts'
import { ultravoxHeaders, ultravoxKey } from '../../src/domain/ultravox-signature.ts'
import { adminAddress, adminClient } from '../daemon/admin-client.ts'
import type { Row } from '../daemon/operator-commands.ts'
import { type Finished, runRelay, startRelay } from '../daemon/relay-process.ts'
import { runCommand } from '../daemon/run-command.ts'
import { bodyOf, send } from '../daemon/ultravox-sender.ts'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { commandsWithout, everyCommand, takesJson } from './every-command.ts'
import { markedRelay } from './marked-relay.ts'
import { type Heap, Markers } from './markers.ts'
import { secretKeys } from './secret-keys.ts'

/** Files in which secrets are meant to be, or which the programs here have made; what is in the latter is looked at apart. */
const OURS =
  /^(relay\.yaml|credentials\/.*|server\.(pem|key)|client\.crt|source\.secret|ultravox\.secrets|crm\.token|\w+\.(env|cmdline))$/

const STALE = { signedAt: Date.now() - 3_600_000 }

t.test('the search finds a secret in whatever form it is, and half of it too', async (t) => {
  const markers = new Markers()
  const secret = markers.make('plain')
  const odd = markers.make('odd', `"'&<>\\/%+ =`)
  const wrapped = (text: string) => `before ${text} after`
  for (const each of [secret, odd]) {
    const forms = [
      each,
      JSON.stringify(each),
      JSON.stringify(JSON.stringify(each)),
      encodeURIComponent(each),
      each.slice(0, each.length / 2),
      each.slice(each.length / 2),
      Buffer.from(each).toString('hex'),
      ...['', 'a', 'ab'].map((before) => Buffer.from(`${before}${each}`).toString('base64')),
      Buffer.from(each).toString('base64url'),
    ]
    for (const form of forms) t.strictSame(markers.in(wrapped(form)).length, 1, form)
    t.strictSame(markers.in(Buffer.concat([Buffer.from([0xff, 0]), Buffer.from(each)])).length, 1, 'in bytes')
  }
  t.same(markers.in(`${randomUUID()} [secret]`), [])
})

t.test('no secret comes out: not of the relay, the commands or the API, and none into the database', async (t) => {
  const relay = await markedRelay(t)
  const { markers, directory, env, api, service, proxy, secrets } = relay
  const heaps: Heap[] = []
  const keep = (from: string, content: string | Buffer) => void heaps.push({ from, content })

  for (const key of secretKeys()) {
    // The API here speaks plain HTTP; an authority is public anyway.
    if (key === 'ultravox.tls.ca') continue
    t.ok(
      markers.places.some((place) => place === key || place.startsWith(`${key}:`)),
      `there is a mark in ${key}`,
    )
  }

  // What the provider has: a call, and a complaint that quotes the key, about a list and about a transcript.
  const callId = api.calls.create({ callId: randomUUID() })
  api.calls.setRecording(callId, { redirectTo: relay.recordingUrl })
  for (const part of ['/api/calls', '/messages']) {
    api.misbehave(quoting(400, secrets.apiKey), { when: ({ path }) => path.endsWith(part) })
  }

  const daemon = await startRelay(t, join(directory, 'relay.yaml'), env)
  const origin = daemon.origin.replace('http:', 'https:')
  const url = `${origin}/webhooks/ultravox`
  const commandLine = readFileSync(`/proc/${daemon.process.pid}/cmdline`)
  keep('the command line of the relay', commandLine)

  // Genuine ones, and those of senders who have got it wrong.
  const answers = [
    await send(url, bodyOf('call.ended', callId), { secret: secrets.fromEnv }),
    await send(url, bodyOf('call.started', callId), { secret: secrets.kept }),
    await send(url, bodyOf('call.billed', callId), { secret: secrets.inline, ...STALE }),
    await send(url, Buffer.from('[]'), { secret: secrets.fallback }),
    await send(url, bodyOf('call.ended'), { secret: 'another' }),
  ]
  t.same(
    answers.map(({ status }) => status),
    [204, 204, 401, 400, 401],
  )
  const timestamp = new Date().toISOString()
  for (const [name, value] of [
    ['x-ultravox-webhook-signature', secrets.fromEnv],
    ['x-ultravox-webhook-signature', `${'0'.repeat(64)},${secrets.inline}`],
    ['x-ultravox-webhook-timestamp', secrets.kept],
    ['authorization', `Bearer ${secrets.adminToken}`],
  ]) {
    const headers = { 'x-ultravox-webhook-timestamp': timestamp, 'x-ultravox-webhook-signature': '0'.repeat(64) }
    answers.push(await sendPlainly(url, { ...headers, [name!]: value! }))
  }
  for (const path of [`${url}?secret=${secrets.inline}`, `${url}/${secrets.inline}`, `${origin}/${secrets.inline}`]) {
    answers.push(await sendPlainly(path, {}))
  }
  for (const { text, headers } of answers) keep('an answer to a sender', `${JSON.stringify(headers)}${text}`)

  const run = (line: string, ...more: string[]) => runCommand([...line.split(' '), ...more], directory, env)
  const json = async (line: string) => JSON.parse((await run(line, '--json')).stdout) as Record<string, Row[]>
  const attempted = async () => {
    const { deliveries } = await json('deliveries list --limit 1000')
    const tried = deliveries!.filter(({ attempts, state }) => Number(attempts) > 0 || state !== 'pending')
    // One that asks for a pause holds all of its deliveries.
    const isTried = (target: unknown) => target === 'busy' && tried.some((delivery) => delivery.target === target)
    return (
      deliveries!.length > 0 && deliveries!.every((delivery) => tried.includes(delivery) || isTried(delivery.target))
    )
  }
  await eventually(attempted, 'all has been tried')

  // Reloads: of what is wrong beside secrets, of what is no YAML at all, and of what is right again.
  const good = readFileSync(join(directory, 'relay.yaml'), 'utf8')
  const broken = [
    good.replace('listen: 127.0.0.1:0', 'listen: nowhere'),
    good.replace(secrets.inline, `\${${secrets.inline.slice(0, 4)}-X:-${secrets.inline}}`),
    good.replace(secrets.inline, `"${secrets.inline}" ${secrets.inline}`),
    good.replace(secrets.inline, `*${secrets.inline}`),
    good.replace(secrets.inline, `!${secrets.inline} x`),
    good.replaceAll('scheme: ultravox', `scheme: ${secrets.inline}`),
    good.replace(/type: slack/, `type: ${secrets.inline}`),
    good.replace(/^ {4}url: (http.*)$/m, '    url: "$1 $1"'),
    good.replace(/^( +)TOKEN: /m, '$1"${UNSET_TOO}": '),
    good.replace('${file:./server.key}', `"-----BEGIN PRIVATE KEY-----\\n${secrets.inline}\\n"`),
    good.replace('${credential:api-key}', `"${secrets.apiKey} ${secrets.apiKey}"`),
    good.replace('Bearer ${file:./crm.token}', '"${file:./crm.token}\\n"'),
    good.replace('${ADMIN_TOKEN}', '${ADMIN_TOKEN:-${SOURCE_SECRET}}é'),
  ]
  for (const text of broken) {
    t.not(text, good, 'something is wrong with it')
    writeFileSync(join(directory, 'relay.yaml'), text)
    for (const line of [
      'check',
      'check --json',
      'config show',
      'doctor --clock http://127.0.0.1:1',
      'reload',
      'status',
    ]) {
      keepRun(`${line}, with a broken configuration`, await run(line))
    }
  }
  writeFileSync(join(directory, 'relay.yaml'), good)

  // Every command, for people and for scripts.
  const clock = await httpServer(t, (response) => response.end())
  writeFileSync(join(directory, 'event.json'), bodyOf('call.ended', callId))
  const signed = ultravoxHeaders(
    [ultravoxKey(new Secret(secrets.inline))],
    readFileSync(join(directory, 'event.json')),
    Date.now(),
  )
  writeFileSync(join(directory, 'signed.txt'), `${signed[0]}: ${signed[1]}\n${signed[2]}: ${signed[3]}\n`)
  const { deliveries } = await json('deliveries list --limit 1000')
  const { rejections } = await json('rejections list')
  const about = {
    event: String(deliveries![0]!.eventId),
    call: callId,
    deliveries: deliveries!.map(({ deliveryId }) => Number(deliveryId)),
    rejections: rejections!.map(({ rejectionId }) => Number(rejectionId)),
    noise: Number(rejections!.find(({ kept }) => kept === false)?.rejectionId),
    genuine: Number(rejections!.find(({ reason }) => reason === 'timestamp_stale')?.rejectionId),
    clock: clock.origin,
  }

  // The API, while there is everything to see. A path that is not there has the token in it.
  const admin = adminClient(adminAddress(daemon))
  const token = { authorization: `Bearer ${secrets.adminToken}` }
  const { paths } = (await admin.get('/api/openapi.json', token)).json() as { paths: Record<string, { get?: object }> }
  const gets = Object.entries(paths).flatMap(([path, { get }]) => (get === undefined ? [] : [path]))
  t.ok(gets.length > 10, `${gets.length} paths to get`)
  for (const path of [...gets.flatMap((each) => filledIn(each, about)), '/api/openapi.json']) {
    const answer = await admin.get(path, token)
    t.equal(answer.status, 200, path)
    keep(`GET ${path}`, `${JSON.stringify(answer.headers)}${answer.text}`)
  }
  for (const answer of [
    await admin.get(`/api/status?token=${secrets.adminToken}`),
    await admin.get(`/api/${secrets.adminToken}`),
    await admin.get(`/api/${secrets.adminToken}`, token),
    await admin.get('/api/status', { authorization: secrets.adminToken }),
    await admin.post('/api/deliveries/retry', { target: 'crm', dryRun: 'x' }, token),
  ]) {
    keep('an answer to an operator', `${JSON.stringify(answer.headers)}${answer.text}`)
  }

  for (const line of ['webhooks list', 'webhooks ensure --yes']) {
    // What makes or changes a webhook has its secrets in it.
    const method = line.includes('ensure') ? 'POST' : 'GET'
    const quoted = method === 'GET' ? secrets.apiKey : `${secrets.apiKey} ${secrets.kept} ${secrets.inline}`
    api.misbehave(quoting(400, quoted), {
      when: (asked) => asked.method === method && asked.path.endsWith('/webhooks'),
    })
    keepRun(`${line}, refused by the provider`, await run(line))
  }
  const runs = everyCommand(about, Object.keys(relay.targets))
  t.same(await commandsWithout(runs), [], 'every command is run: add what is new to every-command.ts')
  for (const each of runs) {
    for (const line of (await takesJson(each)) ? [each.line, `${each.line} --json`] : [each.line]) {
      const finished = await run(line)
      const codes = line.includes('--json') ? [0, 1, 2, 3] : (each.codes ?? [0])
      t.ok(codes.includes(finished.code!), `${line} ended with ${finished.code}: ${finished.stderr.slice(0, 300)}`)
      keepRun(line, finished)
    }
  }
  keepRun('a second relay', await runRelay(['serve'], directory, env))
  keepRun('calls show of a call that is not there', await run(`calls show ${callId}x`))

  function keepRun(line: string, { stdout, stderr }: Finished) {
    keep(`stdout of ${line}`, stdout)
    keep(`stderr of ${line}`, stderr)
  }

  // All files there are while it is in use, and when it is not.
  keepFiles('in use')
  keepRun('the relay', await daemon.end('SIGTERM'))
  keepFiles('after the end')
  function keepFiles(when: string) {
    const entries = readdirSync(directory, { recursive: true, encoding: 'utf8' })
    const files = entries.filter((name) => statSync(join(directory, name)).isFile() && !OURS.test(name))
    for (const name of ['relay.db', 'backup.db', 'new.yaml']) t.ok(files.includes(name), `there is ${name}`)
    for (const name of files) keep(`${name} ${when}`, readFileSync(join(directory, name)))
  }

  // An end that nobody planned.
  const doomed = await startRelay(t, join(directory, 'relay.yaml'), env)
  rmSync(join(directory, 'relay.db'))
  // It may be gone before it has answered.
  await send(url, bodyOf('call.ended'), { secret: secrets.fallback }).catch(() => {})
  await eventually(() => doomed.log.some(({ msg }) => msg === 'outbox failed'), 'it finds its outbox gone')
  keepRun('a relay without its outbox', await doomed.end('SIGTERM'))

  for (const secret of readFileSync(join(directory, 'ultravox.secrets'), 'utf8').split('\n')) {
    if (/^\w/.test(secret) && secret !== secrets.kept) markers.add('secretsFile: made by a rotation', secret)
  }
  // What is no secret is found in each kind of place, so a secret would be.
  const planted = new Markers()
  planted.add('call', callId)
  for (const from of [
    /^stdout of the relay$/,
    /^stdout of events/,
    /^stdout of .*--json$/,
    /^stderr of/,
    /^GET .api/,
    /^relay\.db in use/,
    /^relay\.db-wal/,
    /^relay\.db after/,
    /^backup\.db/,
  ]) {
    t.ok(
      heaps.some((heap) => from.test(heap.from) && planted.in(heap.content).length > 0),
      `the search finds what is in ${from}`,
    )
  }
  t.same([...new Set(markers.leaks(heaps))], [])
  t.ok(
    heaps.some(({ from, content }) => from.startsWith('relay.db') && content.includes('[secret]')),
    'something was masked',
  )

  // What each of the others got to know.
  const got = (from: string, allowed: RegExp, content: string | Buffer) =>
    t.same(
      markers.in(content).filter(({ place }) => !allowed.test(place)),
      [],
      `${from} gets its own secrets only`,
    )
  for (const { url, headers, body } of service.received) {
    const slack = url.startsWith('/services/T0/') ? 'ops' : 'blocks'
    const other = url.startsWith('/collector/') ? 'collector' : 'none'
    const target = headers['x-relay-target'] ?? (url.startsWith('/services/') ? slack : other)
    // The recording's URL is in what is attached.
    got(
      `${target} at ${url}`,
      new RegExp(`^(targets|tracing)\\..*: ${target}(,|$)|^recording$`),
      `${url}${JSON.stringify(headers)}${body}`,
    )
  }
  t.ok(
    service.received.some(({ url }) => url.startsWith('/recording')),
    'the recording was fetched from where the API led',
  )
  t.ok(
    service.received.some(({ url, headers }) => url.startsWith('/collector/') && headers.authorization !== undefined),
    'the collector was sent spans',
  )
  got('the proxy', /^targets\.(http|slack)\.proxy/, proxy.asked.join('\n'))
  for (const { path, query, headers, body } of api.requests) {
    got(
      `the provider at ${path}`,
      /^(ultravox\.apiKey|ultravox\.webhook\.url|sources\.ultravox\.secrets|secretsFile)/,
      JSON.stringify([path, query, headers, body]),
    )
  }
  got('a program', /^(targets\.exec\.env\.\*|passEnv): hook/, readFileSync(join(directory, 'hook.env')))
  for (const name of ['launcher.env', 'launcher.cmdline', 'notify.env']) {
    t.same(markers.in(readFileSync(join(directory, name))), [], name)
  }
})

function quoting(status: number, text: string) {
  return { kind: 'answer', status, body: JSON.stringify({ detail: [`no such: ${text}`] }) } as const
}

/** Sends a request with these headers and no more. */
async function sendPlainly(url: string, headers: Record<string, string>) {
  const dispatcher = new Agent({ connect: { rejectUnauthorized: false }, pipelining: 0 })
  const answer = await request(url, { method: 'POST', headers, body: '{}', dispatcher })
  return { status: answer.statusCode, headers: answer.headers, text: await answer.body.text() }
}

/** A path of the API's description, with the ids of what there is; each delivery and rejection is asked for. */
function filledIn(path: string, about: Parameters<typeof everyCommand>[0]): string[] {
  const [, kind] = /^\/api\/(\w+)\/\{/.exec(path) ?? []
  const ids: Record<string, readonly (string | number)[]> = {
    events: [about.event],
    calls: [about.call],
    deliveries: about.deliveries,
    rejections: about.rejections,
  }
  return kind === undefined ? [path] : (ids[kind] ?? []).map((id) => path.replace(/\{\w+\}/, String(id)))
}
