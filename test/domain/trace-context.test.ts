import fc from 'fast-check'
import t from 'tap'
import {
  childTraceparent,
  formatTraceparent,
  isAmong,
  isSampled,
  parseTraceparent,
  parseTracestate,
  spanIdOf,
  traceIdOf,
} from '../../src/domain/trace-context.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'

const hex = (length: number) => fc.stringMatching(new RegExp(`^[0-9a-f]{${length}}$`)).filter((id) => /[^0]/.test(id))
const contexts = fc.record({ traceId: hex(32), spanId: hex(16), flags: fc.nat(3) }, { noNullPrototype: true })

t.test('what is written is read as it was', async (t) => {
  fc.assert(
    fc.property(contexts, (context) => {
      const traceparent = formatTraceparent(context)
      t.strictSame(parseTraceparent(traceparent), context)
      t.equal(traceIdOf(traceparent), context.traceId)
      t.equal(spanIdOf(traceparent), context.spanId)
      t.equal(isSampled(traceparent), context.flags % 2 === 1)
    }),
  )
})

t.test('a child is of the same trace and as sampled, and has a place of its own', async (t) => {
  fc.assert(
    fc.property(contexts, hex(16), (context, spanId) => {
      t.strictSame(parseTraceparent(childTraceparent(formatTraceparent(context), spanId)), { ...context, spanId })
    }),
  )
})

t.test('whatever is read can be passed on, whatever was sent', async (t) => {
  const field = (length: number) => fc.oneof(hex(length), fc.string(), fc.constant('0'.repeat(length)))
  const near = fc
    .tuple(fc.constantFrom('00', '01', 'fe', 'ff', '0', '000'), field(32), field(16), field(2), fc.string())
    .map(([version, ...rest]) => [version, ...rest].join('-'))
  fc.assert(
    fc.property(fc.oneof(fc.string(), near), (text) => {
      const read = parseTraceparent(text)
      if (read !== undefined) t.strictSame(parseTraceparent(formatTraceparent(read)), read)
    }),
  )
})

t.test('flags that nobody knows yet are passed on as zero', async (t) => {
  t.match(parseTraceparent(`00-${TRACE}-${SPAN}-ff`), { flags: 3 })
  t.match(parseTraceparent(`00-${TRACE}-${SPAN}-fc`), { flags: 0 })
  t.equal(formatTraceparent(parseTraceparent(`00-${TRACE}-${SPAN}-09`)!), `00-${TRACE}-${SPAN}-01`)
})

t.test('of a later version the first four fields are taken, and no other flag than sampled', async (t) => {
  const context = { traceId: TRACE, spanId: SPAN, flags: 1 }
  t.strictSame(parseTraceparent(`01-${TRACE}-${SPAN}-03`), context)
  t.strictSame(parseTraceparent(`cc-${TRACE}-${SPAN}-01-what-the-future-will-be-like`), context)
})

t.test('what is not as it has to be is none', async (t) => {
  for (const [title, text] of Object.entries({
    nothing: '',
    'a trace id of zeros': `00-${'0'.repeat(32)}-${SPAN}-01`,
    'a span id of zeros': `00-${TRACE}-${'0'.repeat(16)}-01`,
    'the version that there never will be': `ff-${TRACE}-${SPAN}-01`,
    capitals: `00-${TRACE.toUpperCase()}-${SPAN}-01`,
    'a short trace id': `00-${TRACE.slice(1)}-${SPAN}-01`,
    'a long trace id': `00-${TRACE}0-${SPAN}-01`,
    'flags of one digit': `00-${TRACE}-${SPAN}-1`,
    'no flags': `00-${TRACE}-${SPAN}`,
    'more than version 00 has': `00-${TRACE}-${SPAN}-01-more`,
    'a dash at the end of version 00': `00-${TRACE}-${SPAN}-01-`,
    'more without a dash': `01-${TRACE}-${SPAN}-01more`,
    'something before it': ` 00-${TRACE}-${SPAN}-01`,
    'a line break after it': `00-${TRACE}-${SPAN}-01\n`,
    'two of them': `00-${TRACE}-${SPAN}-01, 00-${TRACE}-${SPAN}-01`,
    'two of a later version': `01-${TRACE}-${SPAN}-01-a, 01-${TRACE}-${SPAN}-01`,
  })) {
    t.equal(parseTraceparent(text), undefined, title)
  }
})

t.test('a tracestate is passed on as it came, or not at all', async (t) => {
  for (const text of ['congo=t61rcWkgMzE,rojo=00f067aa0ba902b7', 'a=1, b=2', `a=${'x'.repeat(510)}`]) {
    t.equal(parseTracestate(text), text)
  }
  for (const text of [undefined, '', '  ', `a=${'x'.repeat(511)}`, 'a=ü', 'a=1\n', 'a=\0']) {
    t.equal(parseTracestate(text), null)
  }
})

t.test('a share of traces is picked by their ids', async (t) => {
  fc.assert(
    fc.property(hex(32), fc.double({ min: 0, max: 1, noNaN: true }), (traceId, share) => {
      t.equal(isAmong(1, traceId), true)
      t.equal(isAmong(0, traceId), false)
      if (isAmong(share, traceId)) t.ok(isAmong(Math.min(1, share * 1.5), traceId), 'also by a larger share')
    }),
  )
  t.equal(isAmong(0.25, `${TRACE.slice(13)}bffffffffffff`), false)
  t.equal(isAmong(0.25, `${TRACE.slice(13)}c000000000000`), true)
})
