import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { eventually } from '../eventually.ts'
import { httpServer, rawHttpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { API_KEY, createFakeApi, type FakeRequest } from '../ultravox/fake-api.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { runCommand } from './run-command.ts'
import { bodyOf, SECRET, send } from './ultravox-sender.ts'

const sources = { ultravox: { scheme: 'ultravox', secrets: [SECRET] } }
const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const WAV = Buffer.alloc(300_000, 'RIFF')
/** An integer that parsing and writing again would change. */
const SAID = [{ role: 'MESSAGE_ROLE_AGENT', text: 'Hello "there"', n: 1 }, { text: 'Bye' }]

/** A provider with one call that has a transcript of three pages' length and a recording, and a directory. */
async function provider(t: Test) {
  const api = await createFakeApi(t, { pageSize: 1 })
  const callId = api.calls.create()
  for (const message of SAID) api.calls.addMessage(callId, message)
  api.calls.setRecording(callId, { wav: WAV })
  const directory = scratch(t)
  const write = (targets: object, { enrich = {}, ...more }: Record<string, object> = {}) =>
    writeConfig(directory, {
      sources,
      targets,
      routes: [{ events: ['*'], to: Object.keys(targets) }],
      ultravox: { apiKey: API_KEY, baseUrl: api.baseUrl, enrich },
      retry: { initialDelay: '20ms', maxDelay: '50ms', jitter: 0 },
      ...more,
    })
  const asked = (part: string) => api.requests.filter(({ path }) => path.endsWith(part)).length
  const recordings = () => {
    const kept = join(directory, 'relay.db-recordings')
    return existsSync(kept) ? readdirSync(kept) : []
  }
  return { api, callId, directory, write, asked, recordings, body: bodyOf('call.ended', callId) }
}

function statesIn(directory: string): { target: string; state: string; attempts: number; last_error: string | null }[] {
  const outbox = openDatabase(join(directory, 'relay.db'), { readonly: true })
  try {
    return outbox
      .prepare('select target, state, attempts, last_error from delivery_log order by target, delivery_id')
      .all() as ReturnType<typeof statesIn>
  } finally {
    outbox.close()
  }
}

const finished = (directory: string) => () => statesIn(directory).every(({ state }) => state !== 'pending')
const isMessages = ({ path }: FakeRequest) => path.endsWith('/messages')
const isRecording = ({ path }: FakeRequest) => path.endsWith('/recording')

t.test('each target gets what it asks for, fetched once for all of them, and the rest byte for byte', async (t) => {
  const { callId, directory, write, asked, recordings, body } = await provider(t)
  const sink = await httpServer(t, (response) => response.end('ok'))
  writeFileSync(
    join(directory, 'hook.sh'),
    '#!/bin/sh\ncat > got.json\nls -l "$RELAY_RECORDING_FILE" | cut -c1-10 > mode\nmv -f "$RELAY_RECORDING_FILE" got.wav\n',
    { mode: 0o755 },
  )
  const url = (path: string) => `${sink.origin}/${path}`
  const config = write({
    plain: { type: 'http', url: url('plain') },
    text: {
      type: 'http',
      url: url('text'),
      attach: ['transcript'],
      sign: { scheme: 'ultravox', secrets: ['x-long-enough-secret'] },
    },
    redacted: { type: 'http', url: url('redacted'), attach: ['transcript'], redact: ['attached.transcript.*.text'] },
    filled: {
      type: 'http',
      url: url('filled'),
      attach: ['transcript'],
      body: { last: '{{attached.transcript[-1].text}}' },
    },
    slack: { type: 'slack', webhookUrl: url('slack'), attach: ['transcript'], text: '{{attached.transcript[0].text}}' },
    link: { type: 'http', url: url('link'), attach: ['recording', 'transcript'] },
    upload: { type: 'http', url: url('upload'), attach: ['recording'], recordingAs: 'file' },
    hook: { type: 'exec', command: ['./hook.sh'], attach: ['recording', 'transcript'], recordingAs: 'file' },
  })
  const relay = await startRelay(t, config)
  t.equal((await send(`${relay.origin}/webhooks/ultravox`, body)).status, 204)
  await eventually(finished(directory), 'all have it')
  t.same([...new Set(statesIn(directory).map(({ state, attempts }) => `${state} ${attempts}`))], ['delivered 1'])

  const got = (path: string) => sink.received.find((request) => request.url === `/${path}`)!
  t.ok(got('plain').body.equals(body), 'untouched where nothing is attached')
  const text = got('text').body.toString()
  t.equal(text, `${body.toString().slice(0, -1)},"attached":{"transcript":${JSON.stringify(SAID)}}}`)
  t.ok(got('text').headers['x-ultravox-webhook-signature'])
  t.same(JSON.parse(got('redacted').body.toString()).attached.transcript, [{ role: SAID[0]!.role, n: 1 }, {}])
  t.same(JSON.parse(got('filled').body.toString()), { last: 'Bye' })
  t.same(JSON.parse(got('slack').body.toString()), { text: 'Hello "there"' })
  const { recording } = JSON.parse(got('link').body.toString()).attached
  t.match(recording, { url: new RegExp(`^http.*/api/calls/${callId}/recording$`), needsApiKey: true })

  const { headers, body: uploaded } = got('upload')
  t.equal(Number(headers['content-length']), uploaded.length)
  const form = await new Response(uploaded, { headers: { 'content-type': headers['content-type']! } }).formData()
  t.same(JSON.parse(form.get('event') as string), {
    ...JSON.parse(body.toString()),
    attached: { recording: { contentType: 'audio/wav', bytes: WAV.length } },
  })
  const file = form.get('recording') as File
  t.equal(file.type, 'audio/wav')
  t.ok(Buffer.from(await file.arrayBuffer()).equals(WAV))

  t.ok(readFileSync(join(directory, 'got.wav')).equals(WAV), 'a hook may move its file, which is its own')
  t.equal(readFileSync(join(directory, 'mode'), 'utf8').trim(), '-r--------')
  t.same(JSON.parse(readFileSync(join(directory, 'got.json'), 'utf8')).attached, {
    transcript: SAID,
    recording: { contentType: 'audio/wav', bytes: WAV.length },
  })
  t.equal(asked('/messages'), SAID.length, 'each page was asked for once')
  t.equal(asked('/recording'), 1 + 2, 'for the URL, and for the file: where it is, and it')
  await eventually(() => recordings().length === 0, 'no recording stays')
  const outbox = openDatabase(join(directory, 'relay.db'), { readonly: true })
  t.equal(outbox.prepare('select count(*) from attachments').pluck().get(), 0)
  outbox.close()
  t.notMatch(JSON.stringify(relay.log) + relay.stderr(), API_KEY)
})

t.test('what was fetched outlives kill -9, and a retry does not ask again', async (t) => {
  const { directory, write, asked, recordings, body } = await provider(t)
  let status = 503
  const sink = await httpServer(t, (response) => response.writeHead(status).end())
  const crm = { type: 'http', url: sink.origin, attach: ['transcript', 'recording'], recordingAs: 'file' }
  const config = write({ crm })
  const first = await startRelay(t, config)
  await send(`${first.origin}/webhooks/ultravox`, body)
  await eventually(() => sink.received.length >= 2, 'it is tried again')
  await first.end('SIGKILL')
  writeFileSync(join(directory, 'relay.db-recordings', 'evt_gone-1.wav'), 'left by a crash')
  status = 200
  const second = await startRelay(t, config)
  await eventually(finished(directory), 'it is delivered')
  t.ok(sink.received.at(-1)!.body.includes(WAV))
  t.equal(asked('/messages'), SAID.length)
  t.equal(asked('/recording'), 2)
  await eventually(() => recordings().length === 0, 'nothing is left, nor of the crash')
  await second.end('SIGTERM')
})

t.test(
  'a fetch that fails is a failed attempt, tells why, and is none of the target’s doing; one that hangs is given back at a stop',
  async (t) => {
    const { api, directory, write, body } = await provider(t)
    const sink = await httpServer(t, (response) => response.end())
    api.misbehave({ kind: 'answer', status: 400, body: '{"detail":"no"}' }, { times: 3, when: isMessages })
    const crm = { type: 'http', url: sink.origin, attach: ['transcript'], breaker: { failures: 1 } }
    const server = { listen: '127.0.0.1:0', shutdownTimeout: '50ms' }
    const relay = await startRelay(t, write({ crm }, { server }))
    const url = `${relay.origin}/webhooks/ultravox`
    await send(url, body)
    await eventually(finished(directory), 'the provider answers again')
    t.match(statesIn(directory), [{ target: 'crm', state: 'delivered', attempts: 4 }])
    const failure = () => relay.log.find(({ outcome }) => outcome === 'failed')
    await eventually(() => failure() !== undefined, 'it is logged')
    t.match(failure(), {
      error: /^transcript: GET \/api\/calls\/[\w-]+\/messages: was rejected \(400\): \{"detail":"no"\}$/,
    })
    t.notMatch(JSON.stringify(relay.log), /breaker opened/)
    t.equal(sink.received.length, 1)

    const other = api.calls.create()
    api.misbehave({ kind: 'hang' }, { when: isMessages })
    await send(url, bodyOf('call.ended', other))
    await eventually(() => api.requests.some(({ path }) => path.includes(`${other}/messages`)), 'it is asked for')
    t.match(await relay.end('SIGTERM'), { code: 0 })
    t.match(statesIn(directory), [{ state: 'delivered' }, { state: 'pending', attempts: 0 }])
  },
)

t.test('what is too large is dead with the name of the setting; a deleted call has null attached', async (t) => {
  const { api, callId, directory, write, body, recordings } = await provider(t)
  const sink = await httpServer(t, (response) => response.end())
  const gone = api.calls.create()
  api.calls.delete(gone)
  const config = write(
    {
      text: { type: 'http', url: sink.origin, attach: ['transcript', 'recording'] },
      file: { type: 'http', url: sink.origin, attach: ['recording'], recordingAs: 'file' },
    },
    { enrich: { maxTranscript: '1kb', maxRecording: '100kb' } },
  )
  api.calls.addMessage(callId, { text: 'long'.repeat(300) })
  const relay = await startRelay(t, config)
  await send(`${relay.origin}/webhooks/ultravox`, body)
  await eventually(finished(directory), 'both end')
  t.match(statesIn(directory), [
    {
      target: 'file',
      state: 'dead',
      last_error: /^recording: larger than 100kb: raise ultravox\.enrich\.maxRecording/,
    },
    {
      target: 'text',
      state: 'dead',
      last_error: /^transcript: larger than 1kb: raise ultravox\.enrich\.maxTranscript/,
    },
  ])
  t.same(recordings(), [])
  await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended', gone))
  await eventually(() => sink.received.length === 2, 'the event of a deleted call goes out all the same')
  const texts = sink.received.map((request) => request.body.toString())
  t.ok(texts.some((text) => text.endsWith(',"attached":{"transcript":null,"recording":null}}')))
  const nothing = () => relay.log.find(({ msg }) => /^provider has no such call, null attached/.test(msg))
  await eventually(() => nothing() !== undefined, 'it is logged')
  t.match(nothing(), { callId: gone })
})

t.test('an event whose recording never comes is delivered without it once it has waited long enough', async (t) => {
  const { api, directory, write } = await provider(t)
  const callId = api.calls.create()
  const sink = await httpServer(t, (response) => response.end())
  const crm = { type: 'http', url: sink.origin, attach: ['transcript', 'recording'], recordingAs: 'file' }
  const relay = await startRelay(t, write({ crm }, { enrich: { maxWait: '1s' } }))
  const call = { callId, recordingEnabled: true, joined: '2026-01-01T00:00:00Z', ended: '2026-01-01T00:01:00Z' }
  await send(`${relay.origin}/webhooks/ultravox`, Buffer.from(JSON.stringify({ event: 'call.ended', call })))
  await eventually(finished(directory), 'it ends')
  const [{ state, attempts }] = statesIn(directory) as [ReturnType<typeof statesIn>[number]]
  t.equal(state, 'delivered')
  t.ok(attempts > 2, `after ${attempts} attempts`)
  t.match(sink.received.at(-1)!.body.toString(), /"attached":\{"transcript":\[\],"recording":null\}/)
  const told = relay.log.filter(({ msg }) => msg === 'attachment unavailable, null attached in its place')
  t.match(told, [{ callId, attachment: 'recording', error: /404/ }])
  t.equal(told.length, 1)
})

t.test('the key does not go to the host a recording is at, and its URL stays out of what is kept', async (t) => {
  const { api, callId, directory, write, body } = await provider(t)
  const keys: unknown[] = []
  const storage = await rawHttpServer(t, (request, response) => {
    keys.push(request.headers['x-api-key'])
    response.writeHead(200, { 'content-type': 'audio/mpeg' }).end('abc')
  })
  api.calls.setRecording(callId, { redirectTo: `${storage.origin}/a.mp3?signature=s3cr3t-permission` })
  const echo = await httpServer(t, (response, { body }) => response.end(body))
  const config = write({
    link: { type: 'http', url: echo.origin, attach: ['recording'] },
    file: { type: 'http', url: echo.origin, attach: ['recording'], recordingAs: 'file' },
  })
  const relay = await startRelay(t, config)
  await send(`${relay.origin}/webhooks/ultravox`, body)
  await eventually(finished(directory), 'both have it')
  t.same(keys, [undefined])
  t.ok(echo.received.some(({ body }) => body.includes('?signature=s3cr3t-permission","needsApiKey":false')))
  await relay.end('SIGTERM')
  const kept = readFileSync(join(directory, 'relay.db'), 'latin1')
  t.notMatch(kept + JSON.stringify(relay.log), /s3cr3t-permission/)
})

t.test('another key is taken over by a reload', async (t) => {
  const { api, directory, write, body } = await provider(t)
  const sink = await httpServer(t, (response) => response.end())
  const targets = { crm: { type: 'http', url: sink.origin, attach: ['transcript'] } }
  const config = write(targets, { ultravox: { apiKey: 'an-old-key', baseUrl: api.baseUrl } as object })
  const relay = await startRelay(t, config)
  await send(`${relay.origin}/webhooks/ultravox`, body)
  await eventually(() => relay.log.some(({ error }) => /API key was refused/.test(String(error))), 'it is refused')
  write(targets)
  t.match(await runCommand(['reload', '--config', config], directory), { code: 0 })
  await eventually(finished(directory), 'it goes out')
  t.match(JSON.parse(sink.received[0]!.body.toString()).attached, { transcript: SAID })
})

t.test('config/examples/archive-calls.yaml archives a call, and then deletes it where it is told to', async (t) => {
  const { api, callId, directory, body } = await provider(t)
  const example = readFileSync(join(ROOT, 'config/examples/archive-calls.yaml'), 'utf8').replace(
    /# (?=DELETE_AT:|ULTRAVOX_API_KEY:)/g,
    '',
  )
  const content = parse(example)
  Object.assign(content.ultravox, { baseUrl: api.baseUrl })
  Object.assign(content.targets.archive, { command: [join(ROOT, 'config/hooks/archive-call.sh')] })
  Object.assign(content.targets.archive.env, { DIR: 'calls', DELETE_AT: api.baseUrl })
  const env = { ULTRAVOX_WEBHOOK_SECRET: SECRET, ULTRAVOX_API_KEY: API_KEY }
  Object.assign(content.targets.archive.retry, { initialDelay: '20ms', maxDelay: '50ms' })
  const relay = await startRelay(t, writeConfig(directory, content), env)
  const { call } = JSON.parse(body.toString())
  const billed = { event: 'call.billed', call: { ...call, recordingEnabled: true } }
  api.misbehave({ kind: 'answer', status: 404 }, { times: 2, when: isRecording })
  let inPart = false
  api.beforeAnswer((request) => {
    inPart ||= isRecording(request) && existsSync(join(directory, 'calls'))
  })
  await send(`${relay.origin}/webhooks/ultravox`, Buffer.from(JSON.stringify(billed)))
  await eventually(finished(directory), 'it is archived')
  t.match(statesIn(directory), [{ state: 'delivered', attempts: 3 }], 'once its recording is there')
  t.notOk(inPart)
  const archived = join(directory, 'calls', callId)
  t.same(readdirSync(archived).sort(), ['event.json', 'recording.wav'])
  t.same(JSON.parse(readFileSync(join(archived, 'event.json'), 'utf8')).attached.transcript, SAID)
  t.ok(readFileSync(join(archived, 'recording.wav')).equals(WAV))
  t.notOk(api.calls.has(callId), 'it is deleted at the provider')
})
