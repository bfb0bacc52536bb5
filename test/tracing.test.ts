import t from 'tap'
import type { TracingConfig } from '../src/config/config.ts'
import { newTraceparent } from '../src/trace-ids.ts'
import { openTracing, type Span } from '../src/tracing.ts'
import { eventually } from './eventually.ts'
import { rawHttpServer } from './local-server.ts'

function config(origin: string): TracingConfig {
  return { url: `${origin}/v1/traces`, headers: {}, serviceName: 'relay', sampleRatio: 1 }
}

function span(): Span {
  const traceparent = newTraceparent(1)
  return {
    name: 'receive',
    kind: 'server',
    traceparent,
    parentId: null,
    startedAt: 1,
    endedAt: 2,
    attributes: {},
    error: null,
  }
}

t.test('the end does not wait for a collector that does not answer', async (t) => {
  let answer = () => {}
  const collector = await rawHttpServer(t, (_request, response) => {
    answer = () => response.end('{}')
    asked = true
  })
  let asked = false
  let givenUp = false
  const tracing = await openTracing(config(collector.origin), {
    notExported() {
      givenUp = true
    },
  })
  tracing.ended(span())
  await tracing.close()
  t.ok(asked, 'what waited was sent')
  t.ok(givenUp, 'and that it was lost is told')
  answer()
})

t.test('no more than so many spans wait for a collector, and the rest is let go', async (t) => {
  let spans = 0
  let answer = () => {}
  let held = true
  const collector = await rawHttpServer(t, async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    spans += body.split('"spanId"').length - 1
    answer = () => response.end('{}')
    if (!held) answer()
  })
  const told: unknown[] = []
  const tracing = await openTracing(config(collector.origin), { notExported: (...lost) => told.push(lost) })
  for (let n = 0; n < 10_000; n++) tracing.ended(span())
  await eventually(() => spans > 0, 'a first batch has come')
  held = false
  answer()
  await tracing.close()
  t.equal(spans, 512 + 2_048, 'those on their way, and those that waited')
  t.same(told, [[10_000 - spans, 'not taken before the relay ended']], 'how many were let go is told at the end')
})
