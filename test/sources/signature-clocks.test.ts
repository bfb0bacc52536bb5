import fc from 'fast-check'
import t from 'tap'
import { Secret } from '../../src/domain/secret.ts'
import { verify } from '../../src/sources/scheme.ts'
import { createUltravoxScheme } from '../../src/sources/ultravox.ts'
import { sign, signedRequest } from './signed-request.ts'

const RUNS = Number(process.env.RUNS ?? 500)
const TOLERANCE_MS = 60_000
const BODY = Buffer.from('{"event":"call.ended"}')
const scheme = createUltravoxScheme([new Secret('s1')], TOLERANCE_MS)

/** Instants of all kinds, many of them in hours that some zone skips or has twice, or at the turn of a day or a year. */
const instant = fc.oneof(
  fc.integer({ min: Date.UTC(2000, 0), max: Date.UTC(2100, 0) }),
  fc
    .tuple(
      fc.constantFrom(
        '2026-03-08T02:30:00',
        '2026-11-01T01:30:00',
        '2026-03-29T01:30:00',
        '2011-12-30T12:00:00',
        '2024-02-29T23:59:59',
        '2026-12-31T23:59:59',
      ),
      fc.integer({ min: -7_200_000, max: 7_200_000 }),
    )
    .map(([time, by]) => Date.parse(`${time}Z`) + by),
)

const pad = (n: number) => String(n).padStart(2, '0')

/** One way to write an instant: with any offset or none, and any number of digits that do not change it. */
const written = (at: number) =>
  fc
    .tuple(fc.constantFrom('naive', 'Z', 'offset'), fc.integer({ min: -14 * 60, max: 14 * 60 }), fc.nat(6))
    .map(([form, offset, zeros]) => {
      const shift = form === 'offset' ? offset : 0
      const local = new Date(at + shift * 60_000).toISOString().slice(0, -1) + '0'.repeat(zeros)
      if (form !== 'offset') return local + (form === 'Z' ? 'Z' : '')
      return `${local}${offset < 0 ? '-' : '+'}${pad(Math.floor(Math.abs(offset) / 60))}:${pad(Math.abs(offset) % 60)}`
    })

t.test('at any time, in any form, a genuine request is taken within the tolerance and not beyond it', async (t) => {
  const request = instant.chain((at) =>
    fc.record({ at: fc.constant(at), time: written(at), skew: fc.integer({ min: -120_000, max: 120_000 }) }),
  )
  fc.assert(
    fc.property(request, ({ at, time, skew }) => {
      const verdict = verify(scheme, signedRequest(BODY, [time], [sign('s1', BODY, time)]), at + skew)
      if (Math.abs(skew) <= TOLERANCE_MS) return verdict.genuine
      return !verdict.genuine && verdict.code === 'timestamp_stale' && verdict.signed
    }),
    { numRuns: RUNS },
  )
  t.pass()
})

t.test('a time that was signed in other words is not taken, even where it is the same', async (t) => {
  const request = instant.chain((at) => fc.record({ at: fc.constant(at), signed: written(at), sent: written(at) }))
  fc.assert(
    fc.property(request, ({ at, signed, sent }) => {
      const verdict = verify(scheme, signedRequest(BODY, [sent], [sign('s1', BODY, signed)]), at)
      return verdict.genuine === (signed === sent)
    }),
    { numRuns: RUNS },
  )
  t.pass()
})
