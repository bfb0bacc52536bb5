import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { Secret } from '../../src/domain/secret.ts'
import { ultravoxDigest, ultravoxHeaders, ultravoxKey } from '../../src/domain/ultravox-signature.ts'

const key = (secret: string) => ultravoxKey(new Secret(secret))

t.test('the digest is the known answer of the contract', async (t) => {
  const body = Buffer.from('{"event":"call.ended","call":{"callId":"3c90c3cc-0d44-4b50-8888-8dd25736052a"}}')
  const digest = ultravoxDigest(key('whsec_test_5a0c'), body, '2026-01-15T12:00:00.123456')
  t.equal(digest.toString('hex'), 'e3914a7c6b62ec3dfa975c090e5b401acf482689383ba7824263390deaa70ab0')
})

t.test('the digest is HMAC-SHA256 over the body’s bytes and then the timestamp’s, with nothing between', async (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array(),
      fc.string({ unit: 'grapheme-ascii' }),
      fc.string({ minLength: 1 }),
      (body, time, secret) => {
        const signed = Buffer.concat([body, Buffer.from(time, 'latin1')])
        const expected = createHmac('sha256', Buffer.from(secret, 'utf8')).update(signed).digest()
        return ultravoxDigest(key(secret), body, time).equals(expected)
      },
    ),
  )
  t.pass()
})

t.test('a secret of other than ASCII counts with its UTF-8 bytes', async (t) => {
  const expected = createHmac('sha256', Buffer.from('gehäuse 🔑', 'utf8')).update('x2026').digest('hex')
  t.equal(ultravoxDigest(key('gehäuse 🔑'), Buffer.from('x'), '2026').toString('hex'), expected)
})

t.test(
  'a request is signed with a naive UTC time of six fraction digits and one lower-case digest per key',
  async (t) => {
    const keys = [key('old'), key('new')]
    const body = Buffer.from('{}')
    const [timestampName, timestamp, signatureName, signature] = ultravoxHeaders(
      keys,
      body,
      Date.UTC(2026, 0, 5, 3, 4, 5, 6),
    )
    t.equal(timestampName, 'x-ultravox-webhook-timestamp')
    t.equal(timestamp, '2026-01-05T03:04:05.006000')
    t.equal(signatureName, 'x-ultravox-webhook-signature')
    t.equal(signature, keys.map((each) => ultravoxDigest(each, body, timestamp!).toString('hex')).join(','))
    t.match(signature, /^[0-9a-f]{64},[0-9a-f]{64}$/)
  },
)
