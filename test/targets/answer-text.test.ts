import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import t from 'tap'
import { answerText } from '../../src/targets/answer-text.ts'
import { redirectText } from '../../src/targets/redirect.ts'

const LIMIT = 8 * 1024

function textOf(bytes: Uint8Array, headers: { type?: string; encoding?: string } = {}, isCut = false): string {
  return answerText({ bytes, isCut, contentType: headers.type, contentEncoding: headers.encoding }, LIMIT)
}

t.test('a compressed answer is decoded, also where it is cut off or a bomb', (t) => {
  const text = '{"error":"no such contact: é"}'
  const bytes = Buffer.from(text)
  for (const [encoding, compressed] of [
    ['gzip', gzipSync(bytes)],
    ['x-gzip', gzipSync(bytes)],
    ['GZIP', gzipSync(bytes)],
    ['deflate', deflateSync(bytes)],
    ['deflate', deflateRawSync(bytes)],
    ['br', brotliCompressSync(bytes)],
    ['identity', bytes],
  ] as const) {
    t.equal(textOf(compressed, { encoding }), text, encoding)
  }
  const long = gzipSync(Buffer.from(Array.from({ length: 2_000 }, (_, index) => `line ${index}`).join('\n')))
  t.match(textOf(long.subarray(0, 1_000), { encoding: 'gzip' }, true), /^line 0\nline 1\n/)
  const bomb = gzipSync(Buffer.alloc(50_000_000, 'x'))
  t.match(textOf(bomb.subarray(0, LIMIT), { encoding: 'gzip' }, true), /^(x{8192}|\(more than 8,192 bytes of gzip.*)$/)
  t.equal(textOf(Buffer.from('plain'), { encoding: 'gzip' }), 'plain')
  t.equal(textOf(Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 9]), { encoding: 'zstd' }), '(5 bytes of zstd)')
  t.end()
})

t.test('an answer that is not text is described', (t) => {
  t.equal(
    textOf(Buffer.from([1, 0, 2, 3, 255]), { type: 'application/octet-stream' }),
    '(5 bytes of application/octet-stream)',
  )
  t.equal(textOf(Buffer.from([1, 0, 2, 3, 255])), '(5 bytes of binary data)')
  t.equal(textOf(Buffer.alloc(9_000, 'a\0bc'), { type: 'image/png' }, true), '(more than 9,000 bytes of image/png)')
  t.end()
})

t.test('an answer is read in its character set', (t) => {
  t.equal(textOf(Buffer.from('caf\xe9', 'latin1'), { type: 'text/plain; charset=ISO-8859-1' }), 'café')
  t.equal(textOf(Buffer.from('café', 'utf16le'), { type: 'text/plain; charset="utf-16le"' }), 'café')
  t.equal(textOf(Buffer.from('café'), { type: 'text/plain; charset=nonsense' }), 'café')
  t.equal(textOf(Buffer.from('café'), { type: 'text/html' }), 'café')
  t.end()
})

t.test('a redirect says where it leads, without what may be secret', (t) => {
  const from = new URL('https://crm.internal/hooks/calls?key=abc')
  for (const [location, address] of Object.entries({
    '/login?next=%2Fhooks': 'https://crm.internal/login?…',
    'https://user:secret@crm2.internal:8443/v2': 'https://crm2.internal:8443/v2',
    'calls/': 'https://crm.internal/hooks/calls/',
    '//other.internal/x#part': 'https://other.internal/x',
    '/t/T0123456789/sk_live_0123456789abcdef0123456789/x': 'https://crm.internal/t/T0123456789/[secret]/x',
  })) {
    t.equal(redirectText(location, from), `, a redirect to ${address}, which is not followed`)
  }
  t.equal(redirectText(undefined, from), ', a redirect, which is not followed')
  t.equal(redirectText('http://[', from), ', a redirect, which is not followed')
  t.end()
})
