import { resolve } from 'node:path'
import { Secret } from '../domain/secret.ts'
import type { ServerTlsConfig } from './config.ts'
import { certificatesIn, isPem, keyProblem, readPem } from './pem.ts'
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
  return { cert: read(cert), key: read(key), minVersion, certFile: file(cert), keyFile: file(key) }
}

/** The same with its files read anew, or what is wrong with what they hold now. */
export function renewed(tls: ServerTlsConfig): ServerTlsConfig | { readonly problem: string } {
  const cert = tls.certFile === null ? { text: tls.cert.reveal() } : readPem(new Secret(tls.certFile), '/')
  const key = tls.keyFile === null ? { text: tls.key.reveal() } : readPem(new Secret(tls.keyFile), '/')
  if ('problem' in cert) return { problem: `cert: ${cert.problem}` }
  if ('problem' in key) return { problem: `key: ${key.problem}` }
  const [certificate] = certificatesIn(cert.text) ?? []
  if (certificate === undefined) return { problem: 'cert holds no sound certificate in PEM form' }
  const problem = keyProblem(key.text, certificate)
  if (problem !== undefined) return { problem: `key ${problem}` }
  return { ...tls, cert: new Secret(cert.text), key: new Secret(key.text) }
}
