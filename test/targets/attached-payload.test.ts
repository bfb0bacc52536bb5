import t from 'tap'
import { withAttached } from '../../src/targets/attached-payload.ts'

const json = '{"event":"call.ended","call":{"callId":"c"}}'
const attached = { kind: 'attached', transcript: Buffer.from('[]') } as const

t.test('what is attached to a body in UTF-16, or with a byte order mark, is part of JSON in UTF-8', async (t) => {
  const expected = '{"event":"call.ended","call":{"callId":"c"},"attached":{"transcript":[]}}'
  for (const body of [Buffer.from(json), Buffer.from(`\ufeff${json}`), Buffer.from(`\ufeff${json}`, 'utf16le')]) {
    t.equal(Buffer.from(withAttached(body, attached)).toString(), expected)
  }
})

t.test('a body that is not an object stays as it is', async (t) => {
  for (const text of ['', '[]', 'not JSON }', '{ not JSON', ' \n']) {
    const body = Buffer.from(text)
    t.equal(withAttached(body, attached), body, text)
  }
})
