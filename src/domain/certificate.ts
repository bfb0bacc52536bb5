import type { X509Certificate } from 'node:crypto'

/** What a certificate says, as far as operators ask. Instants are epoch milliseconds. */
export interface CertificateFacts {
  /** The common name, or the first name in the certificate. */
  readonly subject: string
  readonly issuer: string
  /** DNS names and IP addresses that clients find in it. */
  readonly names: readonly string[]
  readonly notBefore: number
  readonly notAfter: number
  /** SHA-256 of the whole certificate: two that differ in anything differ here. */
  readonly fingerprint: string
  readonly selfSigned: boolean
}

export type Lifetime = 'not_yet_valid' | 'valid' | 'expiring' | 'expired'

/**
 * A certificate expires soon when a fifth of its lifetime is left, but never earlier than three weeks before its end. ACME
 * clients renew with a third left (half of it for lifetimes under ten days), so by then several attempts have failed: 18 days
 * before the end of a 90-day certificate, 9 of 47 days, 29 hours of 6 days.
 */
const EXPIRING_PART = 1 / 5
const EXPIRING_AT_MOST_MS = 21 * 86_400_000

/** Takes the facts from a parsed certificate. */
export function factsOf(certificate: X509Certificate): CertificateFacts {
  const names = namesIn(certificate)
  return {
    subject: nameOf(certificate.subject) ?? names[0] ?? 'unnamed',
    issuer: nameOf(certificate.issuer) ?? 'unnamed',
    names,
    notBefore: Date.parse(certificate.validFrom),
    notAfter: Date.parse(certificate.validTo),
    fingerprint: certificate.fingerprint256,
    selfSigned: isSelfSigned(certificate),
  }
}

/** Where in its life a certificate is. */
export function lifetimeOf(
  { notBefore, notAfter }: Pick<CertificateFacts, 'notBefore' | 'notAfter'>,
  now: number,
): Lifetime {
  if (now < notBefore) return 'not_yet_valid'
  if (now >= notAfter) return 'expired'
  const margin = Math.min((notAfter - notBefore) * EXPIRING_PART, EXPIRING_AT_MOST_MS)
  return notAfter - now < margin ? 'expiring' : 'valid'
}

export function isSelfSigned(certificate: X509Certificate): boolean {
  return certificate.subject === certificate.issuer && isSignedBy(certificate, certificate)
}

/** False too where OpenSSL does not know the kind of key. */
export function isSignedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return certificate.verify(issuer.publicKey)
  } catch {
    return false
  }
}

/** The common name in a distinguished name, or its last part: `CN=R11`, `O=Example`. */
export function nameOf(distinguished: string): string | undefined {
  const parts = (distinguished ?? '').split('\n').filter((part) => part !== '')
  const common = parts.find((part) => part.startsWith('CN=')) ?? parts.at(-1)
  return common?.replace(/^[A-Za-z.0-9]+=/, '')
}

function namesIn({ subjectAltName }: X509Certificate): string[] {
  const parts = (subjectAltName ?? '').split(', ')
  return parts.flatMap((part) => /^(?:DNS|IP Address):(.+)$/.exec(part)?.[1] ?? [])
}
