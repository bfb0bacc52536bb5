import { createPrivateKey, X509Certificate } from 'node:crypto'
import { resolve } from 'node:path'
import type { Secret } from '../domain/secret.ts'
import { readingProblem, readSmallBytes } from '../safe-file.ts'
import type { Chain } from './certificate-chain.ts'
import { HOME_PROBLEM, isHomePath } from './home-path.ts'

/** Certificates or a key as PEM, or why there are none. */
export type Pem = { readonly text: string } | { readonly problem: string }

/** A value is PEM itself (from `${file:...}` or `${credential:...}`) or the path of a file with it. */
export function readPem(value: Secret, directory: string): Pem {
  if (value.isMissing) return { problem: 'cannot be had here' }
  const written = value.reveal()
  if (isPem(value)) return { text: written }
  if (isHomePath(written)) return { problem: HOME_PROBLEM }
  try {
    return textOf(readSmallBytes(resolve(directory, written)).bytes)
  } catch (error) {
    const { code } = error as { code?: unknown }
    const advice =
      code === 'EACCES' || code === 'EPERM'
        ? 'let the user that the relay runs as read it'
        : 'check the path, which is relative to the configuration file'
    return { problem: `the file cannot be read (${readingProblem(error)}): ${advice}` }
  }
}

/** Whether a value is PEM itself, and not the path of a file. */
export function isPem(value: Secret): boolean {
  return value.reveal().includes('-----BEGIN ')
}

function textOf(bytes: Buffer): Pem {
  if (bytes.includes('-----BEGIN ')) return { text: bytes.toString('utf8').replace(/^\uFEFF/, '') }
  const problem = binaryProblem(bytes)
  return problem === undefined ? { text: bytes.toString('utf8') } : { problem }
}

/** Other forms that certificates and keys are handed out in, with the command that converts them. */
function binaryProblem(bytes: Buffer): string | undefined {
  if (
    bytes.includes(Buffer.from('-----BEGIN ', 'utf16le')) ||
    /^(\xff\xfe|\xfe\xff)/.test(bytes.toString('latin1', 0, 2))
  ) {
    return 'is UTF-16 text: convert it with `iconv -f UTF-16 -t UTF-8 FILE > NEW`'
  }
  if (bytes.toString('hex', 0, 4) === 'feedfeed') {
    return 'is a Java key store: convert it to PKCS#12 with keytool, and that to PEM with `openssl pkcs12`'
  }
  if (isDerOf(bytes, () => new X509Certificate(bytes))) {
    return 'is a certificate in DER form, not PEM: convert it with `openssl x509 -inform der -in FILE -out NEW`'
  }
  const isKey = (['pkcs8', 'pkcs1', 'sec1'] as const).some((type) =>
    isDerOf(bytes, () => createPrivateKey({ key: bytes, format: 'der', type })),
  )
  if (isKey)
    return 'is a private key in DER form, not PEM: convert it with `openssl pkey -inform der -in FILE -out NEW`'
  if (isPkcs12(bytes)) {
    return (
      'is a PKCS#12 file (.p12, .pfx), not PEM: take both out with `openssl pkcs12 -in FILE -nokeys -out cert.pem` and ' +
      '`openssl pkcs12 -in FILE -nocerts -noenc -out key.pem`'
    )
  }
  return undefined
}

/** A sequence that begins with the integer 3, whatever form its length has. */
function isPkcs12(bytes: Buffer): boolean {
  const form = bytes[1] ?? 0
  const start = form > 0x80 ? 2 + (form & 0x7f) : 2
  return bytes[0] === 0x30 && bytes.toString('hex', start, start + 3) === '020103'
}

function isDerOf(bytes: Buffer, parse: () => unknown): boolean {
  if (bytes[0] !== 0x30) return false
  try {
    parse()
    return true
  } catch {
    return false
  }
}

/** The certificates in a PEM text; undefined where there are none, or one of them is broken. */
export function certificatesIn(pem: string): Chain | undefined {
  try {
    const [first, ...more] = blocksIn(pem).map((block) => new X509Certificate(block))
    return first === undefined ? undefined : [first, ...more]
  } catch {
    return undefined
  }
}

/**
 * Certificates as OpenSSL reads all of them. In a text it passes over those whose BEGIN does not start a line, as behind a byte
 * order mark or an END without a line break, and would show a chain without its intermediate.
 */
export function pemOf(chain: Chain): string {
  return chain.map((each) => each.toString()).join('')
}

/** Why `certificatesIn` finds none. Quotes nothing. */
export function certificateProblem(pem: string): string {
  const what = [
    [/-----BEGIN [A-Z ]*PRIVATE KEY-----/, 'it holds a private key; are cert and key swapped?'],
    [
      /-----BEGIN (NEW )?CERTIFICATE REQUEST-----/,
      'it holds a request for a certificate, not what the authority made of it',
    ],
    [/-----BEGIN (PKCS7|CMS)-----/, 'it is PKCS#7; convert it with `openssl pkcs7 -print_certs -in FILE -out NEW`'],
    [
      /-----BEGIN TRUSTED CERTIFICATE-----/,
      'it is in a form of OpenSSL alone; convert it with `openssl x509 -in FILE -out NEW`',
    ],
  ] as const
  const broken = blocksIn(pem).findIndex((block) => certificatesIn(block) === undefined)
  const found = broken === -1 ? what.find(([form]) => form.test(pem))?.[1] : `number ${broken + 1} in it is broken`
  return `holds no sound certificate in PEM form, which starts with -----BEGIN CERTIFICATE-----${found === undefined ? '' : `: ${found}`}`
}

/** Says why a private key cannot be used by itself; undefined where it can. */
export function keyProblem(pem: string): string | undefined {
  if (/BEGIN ENCRYPTED PRIVATE KEY|Proc-Type:.*ENCRYPTED/.test(pem)) {
    return 'has a passphrase, which nobody could type in: write it without, with `openssl pkey -in KEY -out NEW`'
  }
  try {
    createPrivateKey(pem)
    return undefined
  } catch {
    const found = /-----BEGIN OPENSSH PRIVATE KEY-----/.test(pem)
      ? ': it is an SSH key'
      : blocksIn(pem).length > 0
        ? ': it holds a certificate; are cert and key swapped?'
        : ''
    return `holds no private key in PEM form, which starts with -----BEGIN PRIVATE KEY-----${found}`
  }
}

/** From each BEGIN; without its END where a file is cut off, as while it is being written. */
function blocksIn(pem: string): string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]*(-----END CERTIFICATE-----)?/g) ?? []
}
