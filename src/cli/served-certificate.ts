import type { X509Certificate } from 'node:crypto'
import type { Config } from '../config/config.ts'
import { certificateOf } from '../config/server-tls.ts'
import type { ServedCertificate } from '../documents/certificate.ts'
import type { Daemon } from '../documents/status.ts'
import { type CertificateFacts, factsOf } from '../domain/certificate.ts'
import { errorMessage } from '../domain/errors.ts'
import { iso } from './instant.ts'
import { ownOrigin } from './own-listener.ts'

const TIMEOUT_MS = 3_000

/**
 * Asks the listener of a running relay, by a TLS handshake, what it serves. The files cannot answer that: the relay may not be
 * allowed to read what they hold now, and this command may run as another user.
 */
export async function servedCertificate(config: Config, daemon: Daemon): Promise<ServedCertificate> {
  const { tls } = config.server
  if (tls === null || daemon === null || !daemon.running) return { served: null, problem: null }
  const { hostname, port } = new URL(ownOrigin(config, daemon.listen))
  let served: CertificateFacts
  try {
    served = factsOf(await shownBy(hostname.replace(/^\[|\]$/g, ''), Number(port)))
  } catch (error) {
    const problem = `the listener at ${daemon.listen} completes no TLS handshake: ${errorMessage(error)}`
    return { served: null, problem }
  }
  const inFile = certificateOf(tls.cert)
  if (inFile === null || inFile.fingerprint === served.fingerprint) return { served, problem: null }
  const place = tls.certFile ?? 'server.tls.cert'
  return { served, problem: `${place} holds another certificate (until ${iso(inFile.notAfter)}), which is not served` }
}

/** Does not verify the certificate: it is for the public name, and the question is only which one it is. */
function shownBy(host: string, port: number): Promise<X509Certificate> {
  return new Promise((resolve, reject) => {
    // Loaded here: most commands need no TLS.
    const socket = process
      .getBuiltinModule('node:tls')
      .connect({ host, port, rejectUnauthorized: false, timeout: TIMEOUT_MS })
    socket.once('secureConnect', () => {
      const certificate = socket.getPeerX509Certificate()
      // Not destroyed: the relay would count a handshake that its client broke off.
      socket.end().resume()
      if (certificate === undefined) reject(new Error('no certificate was shown'))
      else resolve(certificate)
    })
    socket.once('timeout', () => socket.destroy(new Error(`no answer within ${TIMEOUT_MS / 1_000} s`)))
    socket.once('error', reject)
  })
}
