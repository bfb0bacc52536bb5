import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Secret } from '../../src/domain/secret.ts'
import { SqliteOperator } from '../../src/outbox/sqlite/sqlite-operator.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { attaching } from '../../src/targets/attaching.ts'
import {
  type AttachmentSettings,
  CallAttachments,
  type CallAttachmentsOptions,
} from '../../src/ultravox/attachments.ts'
import { redirectedTo } from '../../src/ultravox/recording.ts'
import { eventually } from '../eventually.ts'
import { httpServer, rawHttpServer } from '../local-server.ts'
import { newEvent, to } from '../outbox/samples.ts'
import { scratch } from '../scratch.ts'
import { API_KEY, createFakeApi, type FakeRequest } from './fake-api.ts'

const ENRICH = { maxTranscriptBytes: 1_000_000, maxRecordingBytes: 1_000_000, timeoutMs: 5_000, maxWaitMs: null }
const TEXT = { transcript: true, recording: null }
const FILE = { transcript: false, recording: 'file' } as const
const running = new AbortController().signal
const isRecording = ({ path }: FakeRequest) => path.endsWith('/recording')

async function setUp(
  t: Test,
  enrich: Partial<AttachmentSettings['enrich']> = {},
  options: Partial<CallAttachmentsOptions> = {},
) {
  const api = await createFakeApi(t)
  const outboxDirectory = scratch(t)
  const path = join(outboxDirectory, 'relay.db')
  const store = await SqliteOutbox.open(path, (error) => t.fail(error.message))
  const directory = join(outboxDirectory, 'recordings')
  const told: string[] = []
  const attachments = new CallAttachments({
    store,
    directory,
    assertRoom: async () => {},
    clock: { now: () => Date.now() },
    random: () => 0.5,
    log: {
      callGone: ({ callId }) => told.push(`gone ${callId}`),
      waitEnded: (_, kind, error) => told.push(`${kind}: ${error}`),
      notRemoved: (error) => told.push(error),
    },
    ...options,
  })
  const account = {
    account: 'default',
    apiKey: new Secret(API_KEY),
    baseUrl: api.baseUrl,
    enrich: { ...ENRICH, ...enrich },
  }
  attachments.prepare([account], () => 'default')()
  t.teardown(async () => {
    await attachments.close()
    await store.close()
  })
  const callId = api.calls.create()
  const event = newEvent({ callId })
  await store.record(event, to('crm'))
  return { api, callId, event, attachments, store, path, directory, told }
}

t.test('attempts at the same time share one fetch, also of a recording, and each has a file of its own', async (t) => {
  const { api, callId, event, attachments, directory } = await setUp(t)
  api.calls.setRecording(callId, { wav: Buffer.from('sound') })
  api.misbehave({ kind: 'delay', ms: 50 }, { when: isRecording })
  const all = await Promise.all([1, 2, 3].map(() => attachments.fetch(event, FILE, running)))
  t.equal(api.requests.filter(isRecording).length, 2, 'where it is, and it')
  const paths = all.map((attached) => {
    if (attached.kind !== 'attached' || !attached.recording || !('path' in attached.recording))
      throw new Error('no file')
    t.equal(readFileSync(attached.recording.path, 'utf8'), 'sound')
    return attached.recording.path
  })
  t.equal(new Set(paths).size, 3)
  t.ok(paths.every((path) => path.endsWith('.wav')))
  for (const attached of all) if (attached.kind === 'attached') await attached.release()
  t.same(readdirSync(directory), [event.eventId], 'it is kept for the next attempt')
})

t.test(
  'a provider over its limit or failing is asked again; what is cut off is a failure, and leaves nothing',
  async (t) => {
    const { api, callId, event, attachments, directory } = await setUp(t)
    api.calls.addMessage(callId, { text: 'Hello' })
    api.misbehave({ kind: 'answer', status: 429, headers: { 'retry-after': '0' } })
    api.misbehave({ kind: 'answer', status: 500 })
    t.match(await attachments.fetch(event, TEXT, running), { transcript: Buffer.from('[{"text":"Hello"}]') })

    const storage = await rawHttpServer(t, (_, response) => {
      response.writeHead(200, { 'content-length': 10 }).write('half', () => response.destroy())
    })
    api.calls.setRecording(callId, { redirectTo: `${storage.origin}/?signature=s3cr3t` })
    const failed = await attachments.fetch(event, FILE, running)
    t.match(failed, { kind: 'failed', error: /^recording: .*127\.0\.0\.1/, unsent: true })
    t.notMatch(failed, { error: /s3cr3t/ })
    t.same(readdirSync(directory), [])
  },
)

t.test('nothing is sent of a delivery that was cancelled while its transcript was fetched', async (t) => {
  const { api, callId, attachments, store, path } = await setUp(t)
  api.calls.addMessage(callId, { text: 'Hello' })
  const sent: number[] = []
  const target = attaching(
    {
      name: 'crm',
      send: async ({ deliveryId }) => {
        sent.push(deliveryId)
        return { kind: 'delivered' }
      },
      close: async () => {},
    },
    TEXT,
    attachments,
  )
  const [delivery] = (await store.claim('crm', 1, Date.now())).deliveries
  api.misbehave({ kind: 'delay', ms: 50 })
  const attempt = target.send(delivery!, running)
  await eventually(() => api.requests.length > 0, 'it is being fetched')
  const operator = SqliteOperator.open(path)
  t.teardown(() => operator.close())
  t.equal(await operator.cancelDeliveries({}, Date.now()), 1)
  t.same(await attempt, { kind: 'interrupted' })
  t.same(sent, [])
  await store.release(delivery!)
  await operator.retryDeliveries({}, Date.now())
  const [again] = (await store.claim('crm', 1, Date.now())).deliveries
  t.same(await target.send(again!, running), { kind: 'delivered' })
})

t.test('a storage that refuses tells how long to wait, and by its host alone', async (t) => {
  const { api, callId, event, attachments } = await setUp(t)
  const storage = await rawHttpServer(t, (_, response) => response.writeHead(403, { 'retry-after': '7' }).end('s3cr3t'))
  api.calls.setRecording(callId, { redirectTo: `${storage.origin}/?signature=s3cr3t` })
  t.same(await attachments.fetch(event, FILE, running), {
    kind: 'failed',
    error: `recording: http 403 from ${storage.host}`,
    unsent: true,
    retryAfterMs: 7_000,
  })
})

t.test('a recording beyond its bound is refused whether its size is announced or not', async (t) => {
  const { api, callId, event, attachments, directory } = await setUp(t, { maxRecordingBytes: 2_000 })
  let announced = true
  const storage = await rawHttpServer(t, (_, response) => {
    response.writeHead(200, announced ? { 'content-length': 3_000 } : {}).end(Buffer.alloc(3_000))
  })
  api.calls.setRecording(callId, { redirectTo: storage.origin })
  const refused = { kind: 'refused', error: /larger than 2kb: raise ultravox\.enrich\.maxRecording/, unsent: true }
  t.match(await attachments.fetch(event, FILE, running), refused)
  announced = false
  t.match(await attachments.fetch(event, FILE, running), refused)
  t.same(readdirSync(directory), [])
})

t.test('what comes too slowly is a failure, and a full disk is', async (t) => {
  const slow = await setUp(t, { timeoutMs: 50 })
  slow.api.misbehave({ kind: 'hang' })
  const late = { kind: 'failed', error: 'transcript: timeout: not fetched within 0.05s', unsent: true }
  t.same(await slow.attachments.fetch(slow.event, TEXT, running), late)

  const assertRoom = (bytes: number) => (bytes === 0 ? Promise.resolve() : Promise.reject(new Error('no room')))
  const full = await setUp(t, {}, { assertRoom })
  const noRoom = { kind: 'failed', error: 'recording: no room' }
  full.api.calls.setRecording(full.callId, { wav: Buffer.from('sound') })
  for (let time = 0; time < 50; time++) {
    t.match(await full.attachments.fetch(full.event, FILE, running), noRoom)
    t.same(readdirSync(full.directory), [], 'nor is it made afterwards')
  }
  const unannounced = await rawHttpServer(t, (_, response) => {
    response.write('so')
    response.end('und')
  })
  full.api.calls.setRecording(full.callId, { redirectTo: unannounced.origin })
  t.match(await full.attachments.fetch(full.event, FILE, running), noRoom)
  t.same(readdirSync(full.directory), [])
})

t.test('a call that nobody recorded has null; one that is gone has null for a transcript and is told of', async (t) => {
  const { api, callId, event, attachments, told } = await setUp(t)
  t.match(await attachments.fetch(event, FILE, running), { kind: 'attached', recording: null })
  t.match(await attachments.fetch(event, { transcript: true, recording: 'url' }, running), {
    transcript: Buffer.from('[]'),
    recording: null,
  })
  t.same(told, [])
  api.calls.delete(callId)
  const other = newEvent({ callId })
  t.match(await attachments.fetch(other, TEXT, running), { kind: 'attached', transcript: null })
  t.same(told, [`gone ${callId}`])
})

t.test('a recording that must come is waited for; of a call that nobody joined none comes', async (t) => {
  const { api, callId, attachments } = await setUp(t)
  const eventWith = (fields: object) =>
    newEvent({ callId, body: Buffer.from(JSON.stringify({ event: 'call.ended', call: { callId, ...fields } })) })
  const recorded = eventWith({ recordingEnabled: true, joined: '2026-01-01T00:00:00Z', ended: '2026-01-01T00:01:00Z' })
  const url = { transcript: false, recording: 'url' } as const
  for (const wanted of [FILE, url]) {
    t.match(await attachments.fetch(recorded, wanted, running), {
      kind: 'failed',
      error: /^recording: the call is recorded, .* \(404\) yet$/,
      unsent: true,
    })
  }
  const unjoined = eventWith({ recordingEnabled: true, joined: null, ended: '2026-01-01T00:01:00Z' })
  const unrecorded = eventWith({ recordingEnabled: false, joined: '2026-01-01T00:00:00Z' })
  for (const event of [unjoined, unrecorded]) {
    t.match(await attachments.fetch(event, FILE, running), { kind: 'attached', recording: null })
  }
  t.match(await attachments.fetch(eventWith({ recordingEnabled: true }), url, running), { kind: 'failed' })
  api.calls.setRecording(callId, { wav: Buffer.from('sound') })
  t.match(await attachments.fetch(recorded, url, running), { kind: 'attached', recording: { needsApiKey: true } })
})

t.test('an attempt that is cut short, or finds no settings, is interrupted', async (t) => {
  const { api, event, attachments } = await setUp(t)
  api.misbehave({ kind: 'hang' })
  const controller = new AbortController()
  api.beforeAnswer(() => controller.abort())
  t.same(await attachments.fetch(event, TEXT, controller.signal), { kind: 'interrupted' })
  attachments.prepare([], () => 'default')()
  t.same(await attachments.fetch(event, TEXT, running), { kind: 'interrupted' })
})

/** A host that leads to another path of itself, or to `last`, with each redirect. */
async function redirecting(t: Test, redirects: number, last?: string) {
  const { origin, received } = await httpServer(t, (response, { url }) => {
    const left = Number(url.slice(1))
    if (left === 0) return response.writeHead(200, { 'content-type': 'audio/wav' }).end('sound')
    const location = left === 1 && last !== undefined ? last : `/${left - 1}`
    response.writeHead(left % 2 === 0 ? 302 : 307, { location }).end()
  })
  return { url: `${origin}/${redirects}`, origin, received }
}

t.test('a few redirects of a recording are followed, without the key once they have left the API', async (t) => {
  const { api, callId, event, attachments, directory } = await setUp(t)
  const storage = await redirecting(t, 2)
  const front = await redirecting(t, 1, storage.url)
  api.calls.setRecording(callId, { redirectTo: front.url })
  t.match(await attachments.fetch(event, FILE, running), { kind: 'attached', recording: { bytes: 5 } })
  t.equal(storage.received.length, 3)
  for (const { headers } of [...front.received, ...storage.received]) t.notOk('x-api-key' in headers)
  t.ok(readdirSync(directory).includes(event.eventId))
})

t.test('the key does not return to the API from another host', async (t) => {
  const { api, callId, event, attachments } = await setUp(t)
  const storage = await redirecting(t, 1, `${api.baseUrl}/api/webhooks`)
  api.calls.setRecording(callId, { redirectTo: storage.url })
  t.match(await attachments.fetch(event, FILE, running), { kind: 'failed', error: /^recording: http 401 from / })
  t.notOk('x-api-key' in api.requests.at(-1)!.headers)
})

t.test('redirects without end, and to what is never connected to, are not followed', async (t) => {
  const { api, callId, event, attachments } = await setUp(t)
  const storage = await redirecting(t, 4)
  api.calls.setRecording(callId, { redirectTo: storage.url })
  t.match(await attachments.fetch(event, FILE, running), {
    kind: 'failed',
    error: /^recording: 127\.0\.0\.1:\d+ redirects once more after 3 redirects, which is not followed$/,
  })
  t.equal(storage.received.length, 4)
  for (const to of [
    'http://169.254.169.254/latest?s3cr3t',
    'http://[::ffff:0:a9fe:a9fe]/',
    'http://Metadata.Google.Internal./',
  ]) {
    const front = await redirecting(t, 1, to)
    for (const redirectTo of [to, front.url]) {
      api.calls.setRecording(callId, { redirectTo })
      const failed = await attachments.fetch(event, FILE, running)
      t.match(
        failed,
        { kind: 'failed', error: /^recording: .* is (a link-local address|the address of a cloud metadata service)$/ },
        to,
      )
      t.notMatch(failed, { error: /s3cr3t/ })
    }
  }
  const api2 = new URL('https://api.test/recording')
  for (const location of [
    'http://storage.test/a.wav',
    'ftp://storage.test/',
    'file:///etc/passwd',
    'https://',
    undefined,
  ]) {
    t.throws(
      () => redirectedTo(api2, location),
      { code: 'provider_failed', message: /^api\.test answered with a redirect / },
      String(location),
    )
  }
  t.equal(redirectedTo(api2, '//storage.test/a?b').href, 'https://storage.test/a?b')
  t.equal(redirectedTo(new URL('http://api.test'), 'https://storage.test/').href, 'https://storage.test/')
})

t.test('what is not a whole recording is not delivered as one', async (t) => {
  const { api, callId, event, attachments, directory } = await setUp(t)
  const cases: [RegExp, Record<string, string>, string][] = [
    [/sent application\/json instead of audio$/, { 'content-type': 'application/json' }, '{"detail":"s3cr3t"}'],
    [/sent text\/html instead of audio$/, { 'content-type': 'text/html; charset=utf-8' }, '<html>'],
    [/sent JSON or markup instead of audio$/, {}, '{"detail":"s3cr3t"}'],
    [/sent JSON or markup instead of audio$/, { 'content-type': 'audio/wav' }, ' {}'],
    [
      /sent JSON or markup instead of audio$/,
      { 'content-type': 'application/octet-stream' },
      '<?xml version="1.0"?><Error/>',
    ],
    [/sent something instead of audio$/, { 'content-type': 'audio' }, 'sound'],
    [/sent an empty recording$/, { 'content-type': 'audio/wav', 'content-length': '0' }, ''],
    [/sent an empty recording$/, { 'content-type': 'audio/wav', 'transfer-encoding': 'chunked' }, ''],
    [
      /sent the recording compressed, which was not asked for$/,
      { 'content-type': 'audio/wav', 'content-encoding': 'gzip' },
      'x',
    ],
    [/^recording: (network|protocol): /, { 'content-type': 'audio/wav', 'content-length': '10' }, 'short'],
  ]
  for (const [error, headers, sent] of cases) {
    const storage = await rawHttpServer(t, (_, response) => {
      response.writeHead(200, headers).write(sent, () => response.socket?.end())
      if (headers['content-length'] !== '10') response.end()
    })
    api.calls.setRecording(callId, { redirectTo: storage.origin })
    t.match(await attachments.fetch(event, FILE, running), { kind: 'failed', error, unsent: true })
    t.notOk(existsSync(directory) && readdirSync(directory).length > 0, 'nothing is kept')
  }
  for (const contentType of [
    'audio/mpeg',
    'Audio/X-Wav; rate=8000',
    'application/octet-stream',
    'binary/octet-stream',
    undefined,
  ]) {
    const storage = await rawHttpServer(t, (_, response) => {
      response.writeHead(200, contentType === undefined ? {} : { 'content-type': contentType }).end('sound')
    })
    api.calls.setRecording(callId, { redirectTo: storage.origin })
    const other = newEvent({ callId })
    t.match(
      await attachments.fetch(other, FILE, running),
      { kind: 'attached', recording: { bytes: 5 } },
      String(contentType),
    )
  }
})

t.test(
  'a recording that does not come is waited for as long as the settings say, and null is attached then',
  async (t) => {
    let now = Date.now()
    const { api, callId, attachments, told } = await setUp(t, { maxWaitMs: 60_000 }, { steady: { now: () => now } })
    const call = { callId, recordingEnabled: true, joined: '2026-01-01T00:00:00Z', ended: '2026-01-01T00:01:00Z' }
    const event = newEvent({ callId, body: Buffer.from(JSON.stringify({ event: 'call.ended', call })) })
    const wanted = { transcript: true, recording: 'url' } as const
    const triedSince = now
    t.match(await attachments.fetch(event, wanted, running, null), { kind: 'failed' }, 'the first attempt')
    now += 59_999
    t.match(await attachments.fetch(event, wanted, running, triedSince), { kind: 'failed' })
    t.same(told, [])
    now += 1
    t.match(await attachments.fetch(event, wanted, running, triedSince), {
      kind: 'attached',
      transcript: Buffer.from('[]'),
      recording: null,
    })
    t.match(await attachments.fetch(event, FILE, running, triedSince), { kind: 'attached', recording: null })
    t.match(told, [/^recording: the call is recorded/, /^recording: the call is recorded/])

    const storage = await rawHttpServer(t, (_, response) =>
      response.writeHead(200, { 'content-type': 'text/html' }).end('x'),
    )
    api.calls.setRecording(callId, { redirectTo: storage.origin })
    t.match(
      await attachments.fetch(event, FILE, running, triedSince),
      { recording: null },
      'so is one that cannot be used',
    )

    api.misbehave({ kind: 'answer', status: 401 }, { times: 2 })
    t.match(
      await attachments.fetch(event, FILE, running, triedSince),
      { kind: 'failed' },
      'a wrong key is not an absence',
    )
    t.match(await attachments.fetch(event, TEXT, running, triedSince), { kind: 'failed' })
    const gone = await rawHttpServer(t, (_, response) => response.destroy())
    api.calls.setRecording(callId, { redirectTo: gone.origin })
    t.match(await attachments.fetch(event, FILE, running, triedSince), { kind: 'failed' }, 'nor is a host that is away')
    api.calls.setRecording(callId, { wav: Buffer.from('sound') })
    t.match(
      await attachments.fetch(event, FILE, running, triedSince),
      { recording: { bytes: 5 } },
      'late is not too late',
    )
  },
)

t.test('what the API itself gives and is not audio is not passed on as a URL either', async (t) => {
  const { api, event, attachments } = await setUp(t)
  for (const recording of ['url', 'file'] as const) {
    api.misbehave({ kind: 'answer', status: 200, body: '{}' })
    t.match(await attachments.fetch(event, { transcript: false, recording }, running), {
      kind: 'failed',
      error: /^recording: 127\.0\.0\.1:\d+ sent application\/json instead of audio$/,
    })
  }
})

t.test('a transcript that cannot be read is waited for no longer either', async (t) => {
  const { api, event, attachments, told } = await setUp(t, { maxWaitMs: 0 })
  api.misbehave({ kind: 'answer', status: 200, body: '<html>' }, { times: 2 })
  t.match(await attachments.fetch(event, TEXT, running, null), { kind: 'failed' })
  t.match(await attachments.fetch(event, TEXT, running, Date.now()), { kind: 'attached', transcript: null })
  t.match(told, [/^transcript: .*not as expected: no JSON$/])
})

t.test('an event whose call id cannot be one has null attached, and nothing is asked', async (t) => {
  const { api, attachments } = await setUp(t)
  for (const callId of ['..', '.']) {
    const both = { transcript: true, recording: 'file' } as const
    t.match(await attachments.fetch(newEvent({ callId }), both, running), {
      kind: 'attached',
      transcript: null,
      recording: null,
    })
  }
  t.same(api.requests, [])
})
