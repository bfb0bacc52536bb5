import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib'
import { Secret } from '../domain/secret.ts'
import { type SignedRequest, verify } from '../sources/scheme.ts'
import { createUltravoxScheme } from '../sources/ultravox.ts'

/** Which secret a request was signed with, from 0, or why it was not. */
export type Diagnosis =
  | { readonly genuine: true; readonly secret: number }
  | { readonly genuine: false; readonly code: string; readonly message: string; readonly cause: string }

/** What is judged: the body and the two headers as they were received. */
export interface Claim {
  readonly body: Uint8Array
  /** By lower-case names. */
  readonly headers: ReadonlyMap<string, readonly string[]>
}

/** Bytes; `server.bodyLimit` can be no larger. */
const MOST_DECOMPRESSED = 100 * 1024 * 1024

const TIMESTAMP = 'x-ultravox-webhook-timestamp'

/** Its age is not judged. Where no secret matches, common mistakes are tried, to tell which of them would explain it. */
export function diagnose(claim: Claim, secrets: readonly Secret[]): Diagnosis {
  const matched = matching(claim, secrets)
  if (matched !== -1) return { genuine: true, secret: matched }
  const verdict = verify(createUltravoxScheme([], 0), requestOf(claim), 0)
  if (verdict.genuine) throw new Error('a request cannot be genuine without a secret')
  const { code, message } = verdict
  const cause = code === 'signature_mismatch' ? likelyCause(claim, secrets) : malformed(code)
  return { genuine: false, code, message, cause }
}

/** The index of the first secret that one of the signatures was made with, -1 where there is none. */
function matching(claim: Claim, secrets: readonly Secret[]): number {
  const request = requestOf(claim)
  return secrets.findIndex((secret) => {
    if (secret.isMissing) return false
    const verdict = verify(createUltravoxScheme([secret], Number.MAX_SAFE_INTEGER), request, 0)
    return verdict.genuine || verdict.signed
  })
}

function requestOf({ body, headers }: Claim): SignedRequest {
  return {
    header: (name) => headers.get(name)?.join(', '),
    headerCount: (name) => headers.get(name)?.length ?? 0,
    body,
  }
}

function malformed(code: string): string {
  if (code === 'signature_malformed') return 'a signature is 64 lower-case hex digits; several have commas between them'
  if (code === 'timestamp_malformed')
    return 'write the timestamp exactly as it was received, such as 2026-01-15T12:00:00.123456'
  return 'both headers are needed, exactly as they were received'
}

function likelyCause(claim: Claim, secrets: readonly Secret[]): string {
  for (const [what, body] of bodiesNear(Buffer.from(claim.body))) {
    const secret = matching({ ...claim, body }, secrets)
    if (secret !== -1)
      return `the body ${what} would match secret ${secret + 1}: this is not byte for byte what was signed`
  }
  for (const [what, timestamp] of timestampsNear(claim.headers.get(TIMESTAMP)?.[0] ?? '')) {
    const secret = matching({ ...claim, headers: new Map([...claim.headers, [TIMESTAMP, [timestamp]]]) }, secrets)
    if (secret !== -1)
      return `the timestamp ${what} would match secret ${secret + 1}: write it exactly as it was received`
  }
  for (const [index, secret] of secrets.entries()) {
    const found = secret.isMissing
      ? undefined
      : secretsNear(secret.reveal()).find(([, near]) => matching(claim, [near]) === 0)
    if (found !== undefined) return `secret ${index + 1} ${found[0]} would match: make it the same as the sender's`
  }
  return 'the secret differs, or the body is not byte for byte what was signed'
}

type Near<T> = readonly (readonly [what: string, value: T])[]

/** What editors, shells and JSON tools make of a body. */
function bodiesNear(body: Buffer): Near<Buffer> {
  const text = body.toString('utf8')
  const texts: Near<string> = [
    ['without the line break at its end', text.replace(/\r?\n$/, '')],
    ['without the blanks at its ends', text.trim()],
    ['with a line break at its end', `${text}\n`],
    ['with a Windows line break at its end', `${text}\r\n`],
    ['without the byte order mark at its start', text.replace(/^\ufeff/, '')],
    ['with Unix line breaks', text.replaceAll('\r\n', '\n')],
    ['with Windows line breaks', text.replace(/\r?\n/g, '\r\n')],
    ...reformatted(text),
  ]
  return [...texts.map(([what, near]) => [what, Buffer.from(near)] as const), ...decompressed(body)]
}

/** What a proxy that compresses requests was sent. */
function decompressed(body: Buffer): Near<Buffer> {
  const bound = { maxOutputLength: MOST_DECOMPRESSED }
  return [gunzipSync, inflateSync, brotliDecompressSync].flatMap((decompress) => {
    try {
      return [['decompressed', decompress(body, bound)] as const]
    } catch {
      return []
    }
  })
}

function reformatted(text: string): Near<string> {
  try {
    const value: unknown = JSON.parse(text)
    const spaced = JSON.stringify(value, null, 1).replace(/\n */g, '\n')
    return [
      ['written compactly', JSON.stringify(value)],
      [
        'written as Python does it, with blanks after commas and colons',
        spaced.replace(/([[{])\n|\n(?=[\]}])/g, '$1').replaceAll(',\n', ', '),
      ],
      ['indented by two blanks', JSON.stringify(value, null, 2)],
      ['indented by four blanks', JSON.stringify(value, null, 4)],
    ]
  } catch {
    return []
  }
}

function timestampsNear(timestamp: string): Near<string> {
  const bare = timestamp.trim().replace(/(Z|[+-]\d\d:?\d\d)$/i, '')
  return [
    ['without the offset at its end', bare],
    ['with Z at its end', `${bare}Z`],
    ['with +00:00 at its end', `${bare}+00:00`],
    ['with T between date and time', timestamp.replace(' ', 'T')],
    ['with a blank between date and time', timestamp.replace('T', ' ')],
  ]
}

/** `whsec_` is part of a secret, which is taken as text; other schemes do otherwise. */
function secretsNear(secret: string): Near<Secret> {
  const texts: Near<string> = [
    ['without the blanks at its ends', secret.trim()],
    ['with a line break at its end', `${secret}\n`],
    ['without whsec_ at its start', secret.replace(/^whsec_/, '')],
    ['with whsec_ at its start', `whsec_${secret}`],
    ['without the quotes around it', secret.replace(/^(["'])(.*)\1$/s, '$2')],
  ]
  return texts.map(([what, near]) => [what, new Secret(near)] as const)
}
