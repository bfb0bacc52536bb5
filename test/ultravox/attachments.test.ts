import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Secret } from '../../src/domain/secret.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { CallAttachments, type CallAttachmentsOptions } from '../../src/ultravox/attachments.ts'
import { rawHttpServer } from '../local-server.ts'
import { newEvent, to } from '../outbox/samples.ts'
import { scratch } from '../scratch.ts'
import { API_KEY, createFakeApi, type FakeRequest } from './fake-api.ts'

const ENRICH = { maxTranscriptBytes: 1_000_000, maxRecordingBytes: 1_000_000, timeoutMs: 5_000 }
const TEXT = { transcript: true, recording: null }
const FILE = { transcript: false, recording: 'file' } as const
const running = new AbortController().signal
const isRecording = ({ path }: FakeRequest) => path.endsWith('/recording')

async function setUp(t: Test, enrich: Partial<typeof ENRICH> = {}, options: Partial<CallAttachmentsOptions> = {}) {
  const api = await createFakeApi(t)
  const outboxDirectory = scratch(t)
  const store = await SqliteOutbox.open(join(outboxDirectory, 'relay.db'), (error) => t.fail(error.message))
  const directory = join(outboxDirectory, 'recordings')
  const told: string[] = []
  const attachments = new CallAttachments({
    store,
    directory,
    assertRoom: async () => {},
    clock: { now: () => Date.now() },
    random: () => 0.5,
    log: { callGone: ({ callId }) => told.push(`gone ${callId}`), notRemoved: (error) => told.push(error) },
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
  return { api, callId, event, attachments, directory, told }
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
