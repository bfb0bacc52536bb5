import t from 'tap'
import { asUtf8, isDeeperThan, MOST_JSON_LEVELS, parseJson } from '../../src/domain/json-bytes.ts'

const lists = (levels: number, inner = '') => `${'['.repeat(levels)}${inner}${']'.repeat(levels)}`
const objects = (levels: number, inner = '{}') => `${'{"a":'.repeat(levels)}${inner}${'}'.repeat(levels)}`
const parsed = (text: string) => parseJson(Buffer.from(text))

t.test('a text that is UTF-8 without a byte order mark stays the same array', async (t) => {
  for (const text of ['', '{', '{}', '"ü"', ' {"a":1}', '0']) {
    const bytes = Buffer.from(text)
    t.equal(asUtf8(bytes), bytes, text)
  }
})

t.test('byte order marks are left out, however many', async (t) => {
  for (const count of [1, 2, 500_000]) {
    const marks = '\ufeff'.repeat(count)
    t.equal(Buffer.from(asUtf8(Buffer.from(`${marks}{}`))).toString(), '{}')
    t.equal(Buffer.from(asUtf8(Buffer.from(`${marks}{}`, 'utf16le'))).toString(), '{}')
  }
})

t.test('objects and lists below the lowest level are read as empty, whatever is in them', async (t) => {
  const inner = '"]}\\"", {"b": [1, "[[["]}, [], {}'
  for (const text of [
    lists(MOST_JSON_LEVELS - 3, `{"a":[[${inner}]],"z":"last"}`),
    objects(MOST_JSON_LEVELS - 2, `{"a":[${inner}],"z":["[", 1, {}]}`),
  ]) {
    t.ok(isDeeperThan(MOST_JSON_LEVELS, Buffer.from(text)))
    const read = JSON.stringify(parsed(text))
    t.notOk(isDeeperThan(MOST_JSON_LEVELS, Buffer.from(read)))
    t.ok(read.includes('"z":'), 'what stands beside them is read')
  }
  const exact = lists(MOST_JSON_LEVELS)
  t.equal(JSON.stringify(parsed(exact)), exact, 'as deep as may be')
  t.equal(JSON.stringify(parsed(lists(MOST_JSON_LEVELS + 1))), exact, 'a level more')
  t.equal(JSON.stringify(parsed(lists(MOST_JSON_LEVELS, '[],{"a":[]},"x",[1]'))), exact)
  t.same(parsed(`{"a":${lists(500_000)},"event":"x","b":${objects(200_000)},"call":{"callId":"c"}}`), {
    ...(parsed(`{"a":${lists(999)},"event":"x","b":${objects(998)},"call":{"callId":"c"}}`) as object),
  })
})

t.test('brackets in strings are no levels', async (t) => {
  const text = `["${'['.repeat(5_000)}\\"${'{'.repeat(5_000)}\\\\"]`
  t.notOk(isDeeperThan(1, Buffer.from(text)))
  t.same(parsed(text), JSON.parse(text))
})

t.test('what is not JSON stays so, however deep it seems', async (t) => {
  for (const text of [
    '['.repeat(1_000_000),
    `${'['.repeat(1_000_000)}"`,
    ']'.repeat(10_000),
    `${lists(2_000)}]`,
    `x${lists(2_000)}`,
    `{"a" ${lists(2_000)}}`,
    objects(2_000, ''),
    `${'{"'.repeat(10_000)}`,
  ]) {
    if (text === objects(2_000, '')) t.type(parsed(text), 'object', 'the lowest are not looked into')
    else t.throws(() => parsed(text), SyntaxError, text.slice(0, 20))
  }
})

t.test('numbers without end, many keys and keys twice are read as JSON.parse reads them', async (t) => {
  for (const text of [
    `{"n":${'9'.repeat(100_000)}}`,
    `{${Array.from({ length: 50_000 }, (_, key) => `"k${key}":${key}`).join()}}`,
    '{"a":1,"a":2,"__proto__":{"x":1}}',
    `{"${'k'.repeat(100_000)}":-1E-400}`,
  ]) {
    t.same(parsed(text), JSON.parse(text))
  }
  t.ok(Object.hasOwn(parsed('{"__proto__":1}') as object, '__proto__'))
})
