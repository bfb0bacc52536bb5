import { brotliCompressSync, gzipSync } from 'node:zlib'
import t from 'tap'
import { type Diagnosis, diagnose } from '../../src/cli/signature-diagnosis.ts'
import { Secret } from '../../src/domain/secret.ts'
import { SIGNATURE_HEADER, TIMESTAMP_HEADER, ultravoxDigest, ultravoxKey } from '../../src/domain/ultravox-signature.ts'

const SECRET = 'whsec_test_5a0c'
const TIMESTAMP = '2026-01-15T12:00:00.123456'
const BODY = '{"event":"call.ended","call":{"callId":"3c90c3cc-0d44-4b50-8888-8dd25736052a"}}'

interface Kept {
  readonly secrets?: readonly (string | undefined)[]
  readonly body?: string | Buffer
  readonly timestamp?: string
  readonly signature?: string
}

/** Judges what was kept of a request that was signed with these. */
function judge(kept: Kept, signed: { secret?: string; body?: string; timestamp?: string } = {}): Diagnosis {
  const key = ultravoxKey(new Secret(signed.secret ?? SECRET))
  const digest = ultravoxDigest(key, Buffer.from(signed.body ?? BODY), signed.timestamp ?? TIMESTAMP).toString('hex')
  const headers = new Map([
    [TIMESTAMP_HEADER, [kept.timestamp ?? TIMESTAMP]],
    [SIGNATURE_HEADER, [kept.signature ?? digest]],
  ])
  const secrets = (kept.secrets ?? [SECRET]).map((text) => new Secret(text))
  return diagnose({ body: Buffer.from(kept.body ?? BODY), headers }, secrets)
}

t.test('the known answer of the contract is genuine, whenever it is looked at', async (t) => {
  const signature = 'e3914a7c6b62ec3dfa975c090e5b401acf482689383ba7824263390deaa70ab0'
  t.same(judge({ signature }), { genuine: true, secret: 0 })
})

t.test('the secret that matches is told, past missing ones', async (t) => {
  t.same(judge({ secrets: [undefined, 'another', SECRET] }), { genuine: true, secret: 2 })
})

t.test('what would have matched is told as the likely cause', async (t) => {
  const python =
    '{"event": "call.ended", "call": {"callId": "3c90c3cc-0d44-4b50-8888-8dd25736052a", "list": [1, 2], "none": []}}'
  const compact = JSON.stringify(JSON.parse(python))
  const cases: [Kept, Parameters<typeof judge>[1], RegExp][] = [
    [{ body: `${BODY}\n` }, {}, /the body without the line break at its end would match secret 1/],
    [{}, { body: `${BODY}\n` }, /the body with a line break at its end/],
    [{ body: `\ufeff${BODY}` }, {}, /without the byte order mark|without the blanks/],
    [{ body: 'a\r\nb' }, { body: 'a\nb' }, /with Unix line breaks/],
    [{ body: 'a\nb' }, { body: 'a\r\nb' }, /with Windows line breaks/],
    [{ body: JSON.stringify(JSON.parse(BODY), null, 2) }, {}, /written compactly/],
    [{ body: compact }, { body: python }, /as Python does/],
    [{ body: gzipSync(BODY) }, {}, /the body decompressed would match secret 1/],
    [{ body: brotliCompressSync(BODY) }, {}, /the body decompressed/],
    [{ timestamp: `${TIMESTAMP}Z` }, {}, /the timestamp without the offset/],
    [{}, { timestamp: `${TIMESTAMP}Z` }, /the timestamp with Z at its end/],
    [{ secrets: ['x', `${SECRET} `] }, {}, /secret 2 without the blanks/],
    [{ secrets: ['test_5a0c'] }, {}, /secret 1 with whsec_/],
    [{ secrets: ['another'] }, {}, /the secret differs, or the body is not byte for byte/],
  ]
  for (const [kept, signed, cause] of cases) t.match(judge(kept, signed), { genuine: false, cause })
})

t.test('headers that are not what they should be are told with what they are', async (t) => {
  t.match(judge({ signature: 'XYZ' }), { code: 'signature_malformed', cause: /64 lower-case hex digits/ })
  t.match(judge({ timestamp: 'yesterday' }), { code: 'timestamp_malformed', cause: /exactly as it was received/ })
  t.match(diagnose({ body: Buffer.from(BODY), headers: new Map() }, [new Secret(SECRET)]), {
    code: 'signature_missing',
  })
})
