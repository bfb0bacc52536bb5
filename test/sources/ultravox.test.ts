import fc from 'fast-check'
import t from 'tap'
import { Secret } from '../../src/domain/secret.ts'
import { secretFingerprint } from '../../src/domain/secret-fingerprint.ts'
import { verify } from '../../src/sources/scheme.ts'
import { createUltravoxScheme } from '../../src/sources/ultravox.ts'
import { anyText } from '../any-text.ts'
import { SIGNATURE, sign, signedRequest, TIMESTAMP } from './signed-request.ts'

const NOW = Date.UTC(2026, 0, 15, 12, 0, 30)
const TIME = '2026-01-15T12:00:00.123456'
const BODY = Buffer.from('{"event":"call.ended","call":{"callId":"3c90c3cc-0d44-4b50-8888-8dd25736052a"}}')
const GENUINE = sign('s1', BODY, TIME)
const OTHER = sign('someone else', BODY, TIME)

const scheme = (secrets: string[], toleranceMs = 60_000) =>
  createUltravoxScheme(
    secrets.map((secret) => new Secret(secret)),
    toleranceMs,
  )
const usual = scheme(['s1'])

/** What became of a request, in one word. */
function verdictOf(times: string[], signatures: string[], { body = BODY as Uint8Array, by = usual, now = NOW } = {}) {
  const verdict = verify(by, signedRequest(body, times, signatures), now)
  return verdict.genuine ? 'genuine' : `${verdict.code}${verdict.signed ? ', signed' : ''}`
}

const upToDate = (time: string, now: number, toleranceMs = 60_000) =>
  verdictOf([time], [sign('s1', BODY, time)], { by: scheme(['s1'], toleranceMs), now })

t.test('the known answer of the contract is genuine', async (t) => {
  const signature = 'e3914a7c6b62ec3dfa975c090e5b401acf482689383ba7824263390deaa70ab0'
  t.equal(verdictOf([TIME], [signature], { by: scheme(['whsec_test_5a0c']) }), 'genuine')
})

t.test('each thing wrong with a request has its own code, and none of them counts as signed', async (t) => {
  const cases: [string, string[], string[], string][] = [
    ['no headers at all', [], [], 'signature_missing'],
    ['no signature', [TIME], [], 'signature_missing'],
    ['no timestamp', [], [GENUINE], 'timestamp_missing'],
    ['empty signature', [TIME], [''], 'signature_malformed'],
    ['empty timestamp', [''], [GENUINE], 'timestamp_malformed'],
    ['garbage for a timestamp', ['yesterday'], [GENUINE], 'timestamp_malformed'],
    ['an epoch for a timestamp', ['1768478400'], [GENUINE], 'timestamp_malformed'],
    ['a comma in one timestamp', [`${TIME}, ${TIME}`], [GENUINE], 'timestamp_malformed'],
    ['the timestamp twice', [TIME, TIME], [GENUINE], 'timestamp_duplicated'],
    ['the timestamp twice, once empty', ['', TIME], [GENUINE], 'timestamp_duplicated'],
    [
      'the timestamp twice, signed as joined',
      [TIME, TIME],
      [sign('s1', BODY, `${TIME}, ${TIME}`)],
      'timestamp_duplicated',
    ],
    ['another secret', [TIME], [OTHER], 'signature_mismatch'],
    ['another time', ['2026-01-15T12:00:00.123457'], [GENUINE], 'signature_mismatch'],
    ['the same instant in other words', [`${TIME}Z`], [GENUINE], 'signature_mismatch'],
    ['signed without the timestamp', [TIME], [sign('s1', BODY, '')], 'signature_mismatch'],
    ['signed with a separator', [TIME], [sign('s1', BODY, `.${TIME}`)], 'signature_mismatch'],
    ['timestamp before body', [TIME], [sign('s1', Buffer.from(TIME), BODY.toString())], 'signature_mismatch'],
    ['upper-case hex', [TIME], [GENUINE.toUpperCase()], 'signature_malformed'],
    ['one upper-case letter', [TIME], [GENUINE.replace(/[a-f]/, (c) => c.toUpperCase())], 'signature_malformed'],
    ['one digit short', [TIME], [GENUINE.slice(1)], 'signature_malformed'],
    ['one digit long', [TIME], [`${GENUINE}0`], 'signature_malformed'],
    ['base64', [TIME], [Buffer.from(GENUINE, 'hex').toString('base64')], 'signature_malformed'],
    ['a prefix', [TIME], [`sha256=${GENUINE}`], 'signature_malformed'],
    ['a version', [TIME], [`v1=${GENUINE}`], 'signature_malformed'],
    ['quotes', [TIME], [`"${GENUINE}"`], 'signature_malformed'],
    ['no hex', [TIME], ['g'.repeat(64)], 'signature_malformed'],
    ['full-width digits', [TIME], ['０'.repeat(64)], 'signature_malformed'],
    ['semicolons between', [TIME], [`${OTHER};${GENUINE}`], 'signature_malformed'],
    ['spaces between', [TIME], [`${OTHER} ${GENUINE}`], 'signature_malformed'],
    ['commas only', [TIME], [',,,'], 'signature_malformed'],
  ]
  for (const [what, times, signatures, verdict] of cases) t.equal(verdictOf(times, signatures), verdict, what)
})

t.test('a stale request of somebody else is a mismatch: its age is not told', async (t) => {
  t.equal(verdictOf([TIME], [OTHER], { now: NOW + 3_600_000 }), 'signature_mismatch')
})

t.test('any of several signatures is enough, in any order and with any space about them', async (t) => {
  const headers = [
    GENUINE,
    `${GENUINE},${OTHER}`,
    `${OTHER},${GENUINE}`,
    `${OTHER}, ${GENUINE}`,
    `  ${OTHER} ,\t ${GENUINE}  `,
    `,${GENUINE},`,
    `garbage,${GENUINE}`,
    `v2=abc, ${OTHER}, ${GENUINE}, ${'é'.repeat(64)}`,
    `${GENUINE},${GENUINE}`,
    `${GENUINE.slice(1)},${GENUINE}`,
    `${GENUINE.toUpperCase()},${GENUINE}`,
  ]
  for (const header of headers) t.equal(verdictOf([TIME], [header]), 'genuine', header)
})

t.test('signatures in several headers count like several in one', async (t) => {
  t.equal(verdictOf([TIME], [OTHER, GENUINE]), 'genuine')
  t.equal(verdictOf([TIME], [GENUINE, 'garbage']), 'genuine')
  t.equal(verdictOf([TIME], [OTHER, OTHER]), 'signature_mismatch')
})

t.test('any of several secrets is enough, in any order', async (t) => {
  for (const secrets of [
    ['s1', 's0'],
    ['s0', 's1'],
    ['a', 'b', 'c', 's1'],
  ]) {
    t.equal(verdictOf([TIME], [GENUINE], { by: scheme(secrets) }), 'genuine', secrets.join())
  }
  t.equal(verdictOf([TIME], [GENUINE], { by: scheme(['s0', 's2']) }), 'signature_mismatch')
  t.equal(verdictOf([TIME], [`${sign('new', BODY, TIME)},${OTHER}`], { by: scheme(['old', 'new']) }), 'genuine')
})

t.test('all the secrets that a request is signed with are named, and no other', async (t) => {
  const [one, two, three] = ['s1', 's2', 's3'].map((secret) => secretFingerprint(new Secret(secret)))
  const by = scheme(['s1', 's2', 's3'])
  const signedWith = (...signers: string[]) =>
    verify(by, signedRequest(BODY, [TIME], [signers.map((secret) => sign(secret, BODY, TIME)).join(',')]), NOW)
  t.same(signedWith('s3', 'x', 's1'), { genuine: true, signedWith: [one, three] })
  t.same(signedWith('s2'), { genuine: true, signedWith: [two] })
})

t.test('without any secret nothing is genuine', async (t) => {
  t.equal(verdictOf([TIME], [GENUINE], { by: scheme([]) }), 'signature_mismatch')
})

t.test('a secret’s UTF-8 bytes are the key, up to the provider’s 120 characters', async (t) => {
  for (const secret of ['gehäuse 🔑', 'x'.repeat(120), ' spaces kept ']) {
    t.equal(verdictOf([TIME], [sign(secret, BODY, TIME)], { by: scheme([secret]) }), 'genuine', secret)
  }
})

t.test('of 1,000 comma parts any one may be the genuine one', async (t) => {
  const parts = (index: number, filler: string) =>
    Array.from({ length: 1_000 }, (_, i) => (i === index ? GENUINE : filler)).join(',')
  for (const filler of [OTHER, 'garbage', '']) {
    t.equal(verdictOf([TIME], [parts(0, filler)]), 'genuine')
    t.equal(verdictOf([TIME], [parts(999, filler)]), 'genuine')
    t.not(verdictOf([TIME], [parts(-1, filler)]), 'genuine')
  }
})

t.test('a signature of any length is refused and never throws', async (t) => {
  for (let length = 0; length <= 200; length += 1) {
    if (length === 64) continue
    t.equal(verdictOf([TIME], ['a'.repeat(length)]), 'signature_malformed', `${length} digits`)
  }
})

t.test('a time is UTC where it is naive, and else what its offset says', async (t) => {
  for (const fraction of ['', ...Array.from({ length: 9 }, (_, i) => `.${'123456789'.slice(0, i + 1)}`)]) {
    const times = [
      `2026-01-15T12:00:00${fraction}`,
      `2026-01-15T12:00:00${fraction}Z`,
      `2026-01-15T12:00:00${fraction}+00:00`,
      `2026-01-15T07:00:00${fraction}-05:00`,
      `2026-01-15T17:30:00${fraction}+05:30`,
      `2026-01-16T01:00:00${fraction}+13:00`,
    ]
    for (const time of times) t.equal(upToDate(time, NOW), 'genuine', time)
  }
  t.equal(upToDate('2026-01-15T12:00:00-05:00', NOW), 'timestamp_stale, signed')
  t.equal(upToDate('2026-01-15T12:00:00+05:30', NOW), 'timestamp_stale, signed')
})

t.test('the tolerance holds to the millisecond in both directions', async (t) => {
  const sentAt = Date.UTC(2026, 0, 15, 12)
  for (const time of ['2026-01-15T12:00:00', '2026-01-15T12:00:00.000Z', '2026-01-15T17:30:00+05:30']) {
    for (const toleranceMs of [0, 1, 60_000, 86_400_000]) {
      for (const way of [1, -1]) {
        t.equal(upToDate(time, sentAt + way * toleranceMs, toleranceMs), 'genuine', `${time} ${way * toleranceMs}`)
        const beyond = sentAt + way * (toleranceMs + 1)
        t.equal(upToDate(time, beyond, toleranceMs), 'timestamp_stale, signed', `${time} ${way * toleranceMs}, 1 over`)
      }
    }
  }
})

t.test('a stale request says in its message how old it is', async (t) => {
  const message = (now: number) => {
    const verdict = verify(usual, signedRequest(BODY, [TIME], [GENUINE]), now)
    return verdict.genuine ? null : verdict.message
  }
  t.equal(message(Date.UTC(2026, 0, 15, 12, 2)), 'validly signed, but 120 s old')
  t.equal(message(Date.UTC(2026, 0, 15, 11)), 'validly signed, but 3600 s in the future')
})

t.test('a refusal never shows a secret or a right signature', async (t) => {
  const by = scheme(['do-not-show'])
  for (const times of [[], [TIME], [TIME, TIME], ['x']]) {
    for (const signatures of [[], [OTHER], ['x']]) {
      const text = JSON.stringify(verify(by, signedRequest(BODY, times, signatures), NOW))
      t.notMatch(text, /do-not-show/)
      t.notMatch(text, sign('do-not-show', BODY, TIME))
    }
  }
})

t.test('the headers worth keeping are the two that were looked at', async (t) => {
  t.same(usual.evidence, [TIMESTAMP, SIGNATURE])
})

const anySecret = anyText({ minLength: 1, maxLength: 120 }).map((text) => Buffer.from(text).toString())

t.test(
  'a genuine request is always taken, whatever its body, its secret and the company of its signature',
  async (t) => {
    const company = fc.array(fc.oneof(fc.stringMatching(/^[0-9a-f]{64}$/), fc.stringMatching(/^[ -+.-~]{0,80}$/)), {
      maxLength: 20,
    })
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), anySecret, company, fc.nat(20), (body, secret, others, place) => {
        const signatures = others.toSpliced(place, 0, sign(secret, body, TIME))
        return verdictOf([TIME], [signatures.join(',')], { body, by: scheme(['unused', secret]) }) === 'genuine'
      }),
      { numRuns: 500 },
    )
    t.pass()
  },
)

t.test('a request with a single byte of body, timestamp or digest altered is never taken', async (t) => {
  const alter = (bytes: Uint8Array, place: number, by: number) =>
    bytes.with(place % bytes.length, (bytes[place % bytes.length]! + by) % 256)
  const alterText = (text: string, place: number, by: number) =>
    Buffer.from(alter(Buffer.from(text, 'latin1'), place, by)).toString('latin1')
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 300 }),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      (body, place, by) => {
        const genuine = sign('s1', body, TIME)
        const verdicts = [
          verdictOf([TIME], [genuine], { body: alter(body, place, by) }),
          verdictOf([alterText(TIME, place, by)], [genuine], { body }),
          verdictOf([TIME], [alterText(genuine, place, by)], { body }),
        ]
        return verdicts.every((verdict) =>
          ['signature_mismatch', 'signature_malformed', 'timestamp_malformed'].includes(verdict),
        )
      },
    ),
    { numRuns: 1_000 },
  )
  t.pass()
})

t.test('a body made longer or shorter is never taken, nor a byte moved between body and timestamp', async (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 100 }),
      fc.uint8Array({ minLength: 1, maxLength: 50 }),
      (body, more) => {
        const genuine = sign('s1', body, TIME)
        const bodies = [
          Buffer.concat([body, more]),
          Buffer.concat([more, body]),
          body.subarray(1),
          body.subarray(0, -1),
        ]
        const moved = [
          verdictOf([TIME.slice(1)], [genuine], { body: Buffer.concat([body, Buffer.from(TIME[0]!)]) }),
          verdictOf([Buffer.from(body.subarray(-1)).toString('latin1') + TIME], [genuine], {
            body: body.subarray(0, -1),
          }),
        ]
        return [...bodies.map((other) => verdictOf([TIME], [genuine], { body: other })), ...moved].every(
          (v) => v !== 'genuine',
        )
      },
    ),
    { numRuns: 300 },
  )
  t.pass()
})

t.test('no headers make verifying throw, and only the stale ever count as signed', async (t) => {
  const text = fc.oneof(anyText(), fc.constantFrom(TIME, GENUINE, OTHER, '2025-01-15T12:00:00'))
  fc.assert(
    fc.property(fc.array(text, { maxLength: 3 }), fc.array(text, { maxLength: 3 }), (times, signatures) => {
      const verdict = verdictOf(times, signatures)
      const taken =
        times.length === 1 &&
        times[0] === TIME &&
        signatures.some((s) => s.split(',').some((p) => p.trim() === GENUINE))
      return taken ? verdict === 'genuine' : verdict !== 'genuine' && !verdict.endsWith('signed')
    }),
    { numRuns: 1_000 },
  )
  t.pass()
})
