import { format, inspect } from 'node:util'
import pino from 'pino'
import t from 'tap'
import { RelayError } from '../../src/domain/errors.ts'
import { keysWithin, MASK, Secret, withoutKeys } from '../../src/domain/secret.ts'

const TEXT = 'whsec_do_not_show_me'
const secret = new Secret(TEXT)

t.test('only reveal gives a secret’s text', async (t) => {
  t.equal(secret.reveal(), TEXT)
  t.equal(new Secret('').reveal(), '')
})

t.test('a secret never shows when it is turned into text', async (t) => {
  const shown = {
    template: `${secret}`,
    concatenation: `a ${String(secret)}`,
    plus: ['', secret].join('') + (secret as unknown as string),
    toString: secret.toString(),
    json: JSON.stringify({ a: [secret], b: { secret } }, null, 2),
    inspect: inspect({ deep: { deeper: [secret] } }, { depth: null, showHidden: true, getters: true }),
    format: format('%s %o %O %j', secret, secret, secret, secret),
    entries: JSON.stringify([Object.entries(secret), Object.getOwnPropertyNames(secret), { ...secret }]),
    map: inspect(new Map([[secret, new Set([secret])]]), { showHidden: true, depth: null }),
  }
  for (const [way, text] of Object.entries(shown)) t.notMatch(text, TEXT, way)
  t.match(shown.json, /\[secret\]/)
})

t.test('a secret never shows in an error, nor as its cause', async (t) => {
  const cause = Object.assign(new Error(`cannot use ${secret}`), { secret, options: { secrets: [secret] } })
  const error = new RelayError('config_invalid', `failed with ${secret}`, { cause })
  t.notMatch(inspect(error, { showHidden: true, depth: null }), TEXT)
  t.notMatch(inspect(new AggregateError([error, secret]), { depth: null }), TEXT)
  t.notMatch(`${error.stack}${cause.stack}`, TEXT)
})

t.test('a secret never shows in a log line', async (t) => {
  const lines: string[] = []
  const logger = pino({ base: null }, { write: (line) => void lines.push(line) })
  logger.info({ secret, target: { headers: { authorization: secret } }, list: [secret] }, 'careless %s', secret)
  logger.error({ err: Object.assign(new Error(`${secret}`), { secret }) })
  t.equal(lines.length, 2)
  for (const line of lines) t.notMatch(line, TEXT)
})

t.test('a copy of a secret shows nothing either', async (t) => {
  t.same(structuredClone(secret), {})
  t.notMatch(inspect(Object.assign(Object.create(null), secret)), TEXT)
})

t.test(
  'keys are found in a text, and words, names, paths of fields and ids of words are not taken for them',
  async (t) => {
    const key = 'R0UT1NG_K3Y-0123456789'
    for (const text of [`{{ '${key}' & call.callId }}`, `see https://x/?key=${key}&n=1`, `Key ${key}.`]) {
      t.same(keysWithin(text), [key], text)
      t.equal(withoutKeys(text), text.replace(key, MASK))
    }
    t.same(keysWithin(key), [key])
    t.same(keysWithin(`--key=${key}`), [`--key=${key}`, key])
    for (const text of [
      'Call {{call.metadata.customerReferenceNumber}} ended',
      'of-the-very-long-name of-2',
      'at 2026-01-15 10:00',
    ]) {
      t.same(keysWithin(text), [], text)
      t.equal(withoutKeys(text), text)
    }
  },
)

t.test('looking for keys takes no longer than the text is long', async (t) => {
  // With a time that grows as the square of the length, this would not end today.
  const text = `{${'a'.repeat(3_000_000)}`
  t.equal(withoutKeys(text), text)
  t.same(keysWithin(`${text} a1b2c3d4e5f6g7h8i9j0`), ['a1b2c3d4e5f6g7h8i9j0'])
})
