import { createPrivateKey, X509Certificate } from 'node:crypto'
import { resolve } from 'node:path'
import type { Secret } from '../domain/secret.ts'
import { readingProblem, readSmallFile } from '../safe-file.ts'
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
    return { text: readSmallFile(resolve(directory, written)).text }
  } catch (error) {
    const { code } = error as { code?: unknown }
    const reason = readingProblem(code)
    return {
      problem: `the file cannot be read (${reason}): check the path, which is relative to the configuration file`,
    }
  }
}

/** Whether a value is PEM itself, and not the path of a file. */
export function isPem(value: Secret): boolean {
  return value.reveal().includes('-----BEGIN ')
}

/** The certificates in a PEM text; undefined where there are none, or one of them is broken. */
export function certificatesIn(pem: string): [X509Certificate, ...X509Certificate[]] | undefined {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
  try {
    const [first, ...more] = blocks.map((block) => new X509Certificate(block))
    return first === undefined ? undefined : [first, ...more]
  } catch {
    return undefined
  }
}

/** What is wrong with a private key, by itself and as the key of a certificate. */
export function keyProblem(pem: string, certificate: X509Certificate | undefined): string | undefined {
  if (/BEGIN ENCRYPTED PRIVATE KEY|Proc-Type:.*ENCRYPTED/.test(pem)) {
    return 'has a passphrase, which nobody could type in: write it without, with `openssl pkey -in KEY -out NEW`'
  }
  try {
    const matches = certificate?.checkPrivateKey(createPrivateKey(pem)) ?? true
    return matches ? undefined : 'does not belong to the certificate in cert: write the one that was made with it'
  } catch {
    return 'holds no private key in PEM form, which starts with -----BEGIN PRIVATE KEY-----'
  }
}
