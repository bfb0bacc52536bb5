import { writeFileSync } from 'node:fs'
import type { RequestListener } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Secret } from '../../src/domain/secret.ts'
import { createHttpTarget } from '../../src/targets/http.ts'
import { multipart } from '../../src/targets/multipart.ts'
import { rawHttpServer } from '../local-server.ts'
import { clock, running, sampleDelivery } from './sample-delivery.ts'

t.test('without a recording the event is the only part', async (t) => {
  const { headers, body } = multipart(Buffer.from('{"a":1}'), 'application/json', undefined)
  const whole = Buffer.concat(await body.toArray())
  t.equal(Number(headers[3]), whole.length)
  const form = await new Response(whole, { headers: { 'content-type': headers[1]! } }).formData()
  t.same([...form], [['event', '{"a":1}']])
})

/** A target whose server does as told, and a recording to send there. */
async function sending(t: Test, listener: RequestListener) {
  const path = join(t.testdir(), 'recording.wav')
  const recording = { path, contentType: 'audio/wav', bytes: 5_000_000 }
  writeFileSync(path, Buffer.alloc(recording.bytes))
  const { origin } = await rawHttpServer(t, listener)
  const basics = { name: 'crm', method: 'POST', headers: {}, timeoutMs: 2_000, sign: null, retryOn: [] } as const
  const target = createHttpTarget({ ...basics, url: new Secret(origin), concurrency: 1, multipart: true }, clock)
  t.teardown(() => target.close())
  return { target, recording }
}

t.test('an answer before all is sent is an outcome, and the next attempt goes well', async (t) => {
  let fits = false
  const { target, recording } = await sending(t, (request, response) => {
    if (!fits) response.writeHead(413, { connection: 'close' }).end('too large', () => request.destroy())
    else request.resume().on('end', () => response.end())
  })
  t.match((await target.send(sampleDelivery({}, { recording }), running)).kind, /failed|refused/)
  fits = true
  t.match(await target.send(sampleDelivery({}, { recording }), running), { kind: 'delivered' })
})

t.test('a file that is gone is told as such', async (t) => {
  const { target, recording } = await sending(t, (request) => request.resume())
  const gone = { ...recording, path: `${recording.path}.gone` }
  t.same(await target.send(sampleDelivery({}, { recording: gone }), running), {
    kind: 'failed',
    error: 'recording: its file cannot be read: ENOENT',
  })
})

t.test('an attempt that is cut short stops reading', async (t) => {
  const { target, recording } = await sending(t, () => {})
  const controller = new AbortController()
  const outcome = target.send(sampleDelivery({}, { recording }), controller.signal)
  setImmediate(() => controller.abort())
  t.same(await outcome, { kind: 'interrupted' })
})
