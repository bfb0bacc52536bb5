import { Webhook } from 'standardwebhooks'
import t from 'tap'
import { Secret } from '../../src/domain/secret.ts'
import { ultravoxDigest, ultravoxKey } from '../../src/domain/ultravox-signature.ts'
import { createSigner } from '../../src/targets/signing.ts'

const body = Buffer.from('{"event":"call.ended","call":{"callId":"3c90c3cc-0d44-4b50-8888-8dd25736052a"}}')
const pairs = (headers: string[]) =>
  Object.fromEntries(Array.from({ length: headers.length / 2 }, (_, i) => [headers[2 * i], headers[2 * i + 1]]))

t.test('the ultravox signature gives the known answer of the contract', async (t) => {
  const digest = ultravoxDigest(ultravoxKey(new Secret('whsec_test_5a0c')), body, '2026-01-15T12:00:00.123456')
  t.equal(digest.toString('hex'), 'e3914a7c6b62ec3dfa975c090e5b401acf482689383ba7824263390deaa70ab0')
})

t.test('the ultravox scheme sends a naive UTC timestamp with six fraction digits, and its signature', async (t) => {
  // Our clock has no microseconds, so the contract's known answer cannot be had here. This one was made with openssl: printf '%s%s' BODY TIMESTAMP | openssl dgst -sha256 -hmac whsec_test_5a0c
  const sign = createSigner({ scheme: 'ultravox', secrets: [new Secret('whsec_test_5a0c')] })
  t.same(pairs(sign('event-1', body, Date.UTC(2026, 0, 15, 12, 0, 0, 123))), {
    'x-ultravox-webhook-timestamp': '2026-01-15T12:00:00.123000',
    'x-ultravox-webhook-signature': 'b62aaeac2a315902e7f3b880ba3fc2f614d5112d39fb7363e38d936f62481378',
  })
})

t.test('several secrets give several signatures', async (t) => {
  const one = (secret: string) =>
    pairs(createSigner({ scheme: 'ultravox', secrets: [new Secret(secret)] })('e', body, 0))
  const both = createSigner({ scheme: 'ultravox', secrets: [new Secret('old'), new Secret('new')] })
  const signature = 'x-ultravox-webhook-signature'
  t.equal(pairs(both('e', body, 0))[signature], `${one('old')[signature]},${one('new')[signature]}`)
})

t.test('the standard-webhooks scheme is accepted by the reference library, with each of the secrets', async (t) => {
  const secrets = ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD']
  const sign = createSigner({ scheme: 'standard-webhooks', secrets: secrets.map((secret) => new Secret(secret)) })
  const headers = { 'webhook-id': 'event-1', ...pairs(sign('event-1', body, Date.now())) }
  for (const secret of secrets) t.same(new Webhook(secret).verify(body, headers), JSON.parse(body.toString()))
  t.throws(() => new Webhook(secrets[0]!).verify(`${body} `, headers))
})

t.test('the standard-webhooks signature covers bytes that are no UTF-8', async (t) => {
  const bytes = Buffer.from([0xff, 0x00, 0xfe])
  const sign = createSigner({ scheme: 'standard-webhooks', secrets: [new Secret('whsec_AAAA')] })
  t.notSame(sign('e', bytes, 0), sign('e', Buffer.from(bytes.toString()), 0))
})

t.test('a standard-webhooks secret without a key in it is refused, and not shown', async (t) => {
  const signer = () => createSigner({ scheme: 'standard-webhooks', secrets: [new Secret('whsec_')] })
  t.throws(signer, /is "whsec_" followed by base64/)
})
