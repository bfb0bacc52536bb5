import { resolve } from 'node:path'
import { type CertificateFacts, factsOf, lifetimeOf } from '../domain/certificate.ts'
import { iso } from '../domain/iso.ts'
import { Secret } from '../domain/secret.ts'
import { chainRemarks, keyIn, openSslProblem, pairProblem } from './certificate-chain.ts'
import type { Config, ServerTlsConfig } from './config.ts'
import { certificateProblem, certificatesIn, isPem, keyProblem, pemOf, readPem } from './pem.ts'
import type { RelayFile } from './schema.ts'

/** The certificate of the public listener, as far as it can be had here: whether it is sound, the checks tell. */
export function serverTls(
  { cert, key, minVersion }: NonNullable<RelayFile['server']['tls']>,
  directory: string,
): ServerTlsConfig {
  const read = (value: Secret) => {
    const pem = readPem(value, directory)
    return 'text' in pem ? new Secret(pem.text) : value
  }
  const file = (value: Secret) => (value.isMissing || isPem(value) ? null : resolve(directory, value.reveal()))
  return { cert: wholeChain(read(cert)), key: read(key), minVersion, certFile: file(cert), keyFile: file(key) }
}

/** The same certificates in the form that OpenSSL reads all of, see `pemOf`. */
export function wholeChain(pem: Secret): Secret {
  const chain = pem.isMissing ? undefined : certificatesIn(pem.reveal())
  return chain === undefined ? pem : new Secret(pemOf(chain))
}

/**
 * Reads the files of a certificate again. Returns the problem where they cannot be served: unreadable, not a pair, rejected
 * by OpenSSL, or outside their validity while the current certificate is within its own. `now` in epoch milliseconds.
 */
export function renewed(tls: ServerTlsConfig, now: number): ServerTlsConfig | { readonly problem: string } {
  const cert = tls.certFile === null ? { text: tls.cert.reveal() } : readPem(new Secret(tls.certFile), '/')
  const key = tls.keyFile === null ? { text: tls.key.reveal() } : readPem(new Secret(tls.keyFile), '/')
  if ('problem' in cert) return { problem: `cert: ${cert.problem}` }
  if ('problem' in key) return { problem: `key: ${key.problem}` }
  const chain = certificatesIn(cert.text)
  if (chain === undefined) return { problem: `cert ${certificateProblem(cert.text)}` }
  const unsound = keyProblem(key.text)
  if (unsound !== undefined) return { problem: `key ${unsound}` }
  const pair = pairProblem(chain, keyIn(key.text)!)
  if (pair !== undefined) return { problem: `${pair.at} ${pair.message}` }
  const rejected = openSslProblem(pemOf(chain), key.text)
  if (rejected !== undefined) return { problem: `cert ${rejected}` }
  const [next, current] = [factsOf(chain[0]), certificateOf(tls.cert)]
  const isWorse = !isWithin(next, now) && current !== null && isWithin(current, now)
  if (isWorse) {
    const when =
      next.notBefore > now ? `is not valid before ${iso(next.notBefore)}` : `expired at ${iso(next.notAfter)}`
    return { problem: `cert ${when}, while the previous one is valid` }
  }
  return { ...tls, cert: new Secret(pemOf(chain)), key: new Secret(key.text) }
}

/** The facts of the first certificate in a PEM text; null if it has none. */
export function certificateOf(pem: Secret): CertificateFacts | null {
  const chain = pem.isMissing ? undefined : certificatesIn(pem.reveal())
  return chain === undefined ? null : factsOf(chain[0])
}

/** Warnings about a certificate that can be served, see `chainRemarks`. */
export function servingWarnings({ cert }: ServerTlsConfig, hosts: readonly string[], now: number): string[] {
  const chain = certificatesIn(cert.reveal())
  if (chain === undefined) return []
  const remarks = [...chainRemarks(chain, { role: 'server', hosts, now })]
  return remarks.filter(({ level }) => level === 'warning').map(({ message }) => message)
}

/** The hosts in URLs that clients use with https; other URLs are left out. */
export function httpsHosts(urls: readonly string[]): string[] {
  return urls.flatMap((text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined
    return url?.protocol === 'https:' ? [url.hostname] : []
  })
}

/** The certificates that targets are shown. */
export function clientCertificates({
  targets,
}: Pick<Config, 'targets'>): { target: string; facts: CertificateFacts }[] {
  return Object.entries(targets).flatMap(([target, options]) => {
    const cert = 'tls' in options ? options.tls?.cert : null
    const facts = cert == null ? null : certificateOf(cert)
    return facts === null ? [] : [{ target, facts }]
  })
}

function isWithin(facts: CertificateFacts, now: number): boolean {
  return ['valid', 'expiring'].includes(lifetimeOf(facts, now))
}
