import { type AsymmetricKeyDetails, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { factsOf, isSelfSigned, isSignedBy, nameOf } from '../domain/certificate.ts'
import { errorMessage } from '../domain/errors.ts'
import { iso } from '../domain/iso.ts'
import type { Finding } from './finding.ts'

/** In the order of the file; the first is shown as one's own. */
export type Chain = readonly [X509Certificate, ...X509Certificate[]]

export interface ChainUse {
  /** Whether the certificate is shown by the listener or to the server of a target. */
  readonly role: 'server' | 'client'
  /** Host names and addresses by which clients are configured to reach the listener. */
  readonly hosts: readonly string[]
  /** Epoch milliseconds. */
  readonly now: number
  /** The well-known roots as PEM, each alone; Node's own where absent. */
  readonly roots?: readonly string[]
}

/** Loaded when a certificate is looked at: it takes 8 ms, which every command would wait for. */
const tls = () => process.getBuiltinModule('node:tls')

type Remark = Pick<Finding, 'message' | 'level'>

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'
const GOOD_KEY = 'with an RSA key of at least 2048 bits or a P-256 key'
/** As OpenSSL names them: P-256, P-384 and P-521, the only curves that the Web PKI knows. */
const COMMON_CURVES = ['prime256v1', 'secp384r1', 'secp521r1']
const ANY_USE = '2.5.29.37.0'

/** What peers will hold against a certificate that is well formed and fits its key. Warnings and notes only. */
export function* chainRemarks(
  chain: Chain,
  { role, hosts, now, roots = tls().rootCertificates }: ChainUse,
): Iterable<Remark> {
  const [leaf] = chain
  const { notBefore, notAfter, names, selfSigned } = factsOf(leaf)
  const peers = role === 'server' ? 'clients' : 'the server'
  if (notAfter <= now) yield warning(`expired at ${iso(notAfter)}, so ${peers} will reject it: renew it`)
  else if (notBefore > now)
    yield warning(`is not valid before ${iso(notBefore)}: check the clock of this machine, or wait`)
  const use = role === 'server' ? SERVER_AUTH : CLIENT_AUTH
  // Node calls the extended key usage keyUsage. Without it, a certificate is for any use.
  const uses = leaf.keyUsage as readonly string[] | undefined
  if (uses !== undefined && !uses.includes(use) && !uses.includes(ANY_USE)) {
    const name = role === 'server' ? 'serverAuth' : 'clientAuth'
    yield warning(`is not made for TLS ${role}s (its extended key usage lacks ${name}): request one that is`)
  }
  const key = weakKey(leaf)
  if (key !== undefined)
    yield warning(`has ${key}, which most ${role === 'server' ? 'clients' : 'servers'} reject: request one ${GOOD_KEY}`)
  if (role === 'server') {
    if (names.length === 0) {
      yield warning(
        'has no subject alternative name, the only place where clients look for the host: request one with it',
      )
    } else {
      for (const host of hosts) if (!isFor(leaf, host)) yield warning(wrongName(host, names))
    }
  }
  if (selfSigned) {
    yield {
      level: 'note',
      message: `is self-signed: ${peers} will reject it unless it is among the authorities they trust`,
    }
    return
  }
  yield* pathRemarks(chain, role, now, roots)
}

/** What is wrong with the key of a certificate that OpenSSL accepts here; its default level elsewhere may be higher. */
function weakKey(certificate: X509Certificate): string | undefined {
  const { modulusLength, namedCurve } = keyDetails(certificate)
  if (modulusLength !== undefined && modulusLength < 2048) return `an RSA key of ${modulusLength} bits`
  if (namedCurve !== undefined && !COMMON_CURVES.includes(namedCurve)) return `a key on the curve ${namedCurve}`
  return undefined
}

function keyDetails(certificate: X509Certificate): AsymmetricKeyDetails {
  try {
    return certificate.publicKey.asymmetricKeyDetails ?? {}
  } catch {
    // OpenSSL does not know the kind of key.
    return {}
  }
}

/** A host name with or without a trailing dot, or an IP address without brackets. */
function isFor(certificate: X509Certificate, host: string): boolean {
  const bare = host.replace(/^\[|\]$|\.$/g, '')
  if (isIP(bare) !== 0) return certificate.checkIP(bare) !== undefined
  return certificate.checkHost(bare, { subject: 'never' }) !== undefined
}

function wrongName(host: string, names: readonly string[]): string {
  const shown = names.slice(0, 5).join(', ')
  const rest = names.length > 5 ? ` and ${names.length - 5} more` : ''
  return `is for ${shown}${rest}, not for ${host}, where ultravox.webhook.url leads: request one with that name`
}

/** Follows the issuers through the file, as peers do. */
function* pathRemarks(chain: Chain, role: ChainUse['role'], now: number, roots: readonly string[]): Iterable<Remark> {
  const rest = chain.slice(1)
  let current: X509Certificate = chain[0]
  let isInOrder = true
  while (!isSelfSigned(current) && !isIssuedByRoot(current, roots)) {
    const index = rest.findIndex((each) => isIssuer(each, current))
    if (index === -1) {
      // A server may know the issuers of its clients; clients only know the roots.
      if (role === 'server') yield warning(missingIssuer(chain, current))
      break
    }
    if (index > 0) isInOrder = false
    ;[current] = rest.splice(index, 1) as [X509Certificate]
    const { subject, notAfter } = factsOf(current)
    if (notAfter <= now)
      yield warning(`has the certificate of its issuer "${subject}" in it, which expired at ${iso(notAfter)}`)
  }
  if (!isInOrder) {
    yield warning(
      'has its certificates in the wrong order: each has to be followed by the one of its issuer, as in fullchain.pem of certbot',
    )
  }
}

function missingIssuer(chain: Chain, last: X509Certificate): string {
  const issuer = nameOf(last.issuer) ?? 'unnamed'
  const what = chain.length === 1 ? 'comes alone' : 'lacks a certificate'
  return (
    `${what}: that of its issuer "${issuer}" is not in the file, so most clients cannot verify it; ` +
    'use fullchain.pem of certbot, or append that certificate, also where it is an authority of your own'
  )
}

function isIssuer(issuer: X509Certificate, of: X509Certificate): boolean {
  return of.checkIssued(issuer) && isSignedBy(of, issuer)
}

/** Parsing all well-known roots takes 145 ms on a slow machine, so only those with the issuer's name are parsed. */
function isIssuedByRoot(certificate: X509Certificate, roots: readonly string[]): boolean {
  const name = nameOf(certificate.issuer)
  const isPlain = name !== undefined && /^[ -[\]-~]+$/.test(name)
  return roots.some((root) => {
    if (isPlain && !Buffer.from(root.replace(/-----[^-]+-----/g, ''), 'base64').includes(name)) return false
    return isIssuer(new X509Certificate(root), certificate)
  })
}

/**
 * Why a key cannot be used with a chain, where the key itself is sound; undefined where it can. Names the certificate that the
 * key does belong to.
 */
export function pairProblem(
  chain: Chain,
  key: KeyObject,
): { readonly at: 'cert' | 'key'; readonly message: string } | undefined {
  if (chain[0].checkPrivateKey(key)) return undefined
  const index = chain.findIndex((each) => each.checkPrivateKey(key))
  if (index > 0) {
    const message =
      `has its certificates in the wrong order: the one that belongs to the key is number ${index + 1} of ${chain.length}; ` +
      'put it first, followed by that of its issuer, as in fullchain.pem of certbot'
    return { at: 'cert', message }
  }
  if (chain.every(({ ca }) => ca) && !isSelfSigned(chain[0])) {
    const message =
      `holds only authorities ("${factsOf(chain[0]).subject}"), not the certificate that belongs to the key: ` +
      'use fullchain.pem of certbot, not chain.pem'
    return { at: 'cert', message }
  }
  return { at: 'key', message: 'does not belong to the certificate in cert: write the one that was made with it' }
}

/** Why OpenSSL rejects a pair, such as a key that is too short for its security level. */
export function openSslProblem(cert: string, key: string): string | undefined {
  try {
    tls().createSecureContext({ cert, key })
    return undefined
  } catch (error) {
    const reason = errorMessage(error).replace(/^error:[0-9A-F]+:[^:]*:[^:]*:/, '')
    return `is rejected by OpenSSL (${reason}): request one ${GOOD_KEY}, signed with SHA-256`
  }
}

/** Parses a sound key; undefined for anything else. */
export function keyIn(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem)
  } catch {
    return undefined
  }
}

function warning(message: string): Remark {
  return { level: 'warning', message }
}
