import type { Draft, SoundTarget } from '../draft.ts'
import type { Finding } from '../finding.ts'
import { certificatesIn, keyProblem, readPem } from '../pem.ts'

type Tls = NonNullable<Extract<SoundTarget, { tls?: unknown }>['tls']>

/** Keys of `tls` that need or exclude each other. */
export function checkTls(draft: Draft): Iterable<Finding> {
  return findingsOf(draft, contradictions)
}

/** Certificates and keys that cannot be used are told now, and not by a handshake in the night. */
export function* checkCertificates(draft: Draft): Iterable<Finding> {
  const { directory } = draft.surroundings
  yield* findingsOf(draft, (tls) => unusable(tls, directory))
  for (const { tls, path } of draft.ultravox) {
    if (tls === undefined) continue
    for (const finding of unusable(tls, directory)) yield { ...finding, path: [...path, 'tls', ...finding.path] }
  }
  const { tls } = draft.server
  if (tls === undefined) return
  for (const finding of unusable(tls, directory)) yield { ...finding, path: ['server', 'tls', ...finding.path] }
}

function* findingsOf({ targets }: Draft, look: (tls: Tls) => Iterable<Finding>): Iterable<Finding> {
  for (const [name, target] of targets) {
    if (target.type !== 'http' || target.tls === undefined) continue
    for (const finding of look(target.tls)) yield { ...finding, path: ['targets', name, 'tls', ...finding.path] }
  }
}

function* unusable({ ca, cert, key }: Partial<Pick<Tls, 'ca' | 'cert' | 'key'>>, directory: string): Iterable<Finding> {
  const read = { ca: ca && readPem(ca, directory), cert: cert && readPem(cert, directory) }
  for (const [name, pem] of Object.entries(read)) {
    if (pem === undefined) continue
    if ('problem' in pem) yield { path: [name], message: pem.problem }
    else if (certificatesIn(pem.text) === undefined) yield { path: [name], message: NO_CERTIFICATE }
  }
  if (key !== undefined) {
    const pem = readPem(key, directory)
    const certificate = read.cert !== undefined && 'text' in read.cert ? certificatesIn(read.cert.text)?.[0] : undefined
    const problem = 'problem' in pem ? pem.problem : keyProblem(pem.text, certificate)
    if (problem !== undefined) yield { path: ['key'], message: problem }
  }
}

const NO_CERTIFICATE = 'holds no sound certificate in PEM form, which starts with -----BEGIN CERTIFICATE-----'

function* contradictions({ ca, cert, key, insecure }: Tls): Iterable<Finding> {
  if (cert !== undefined && key === undefined) {
    yield { path: ['cert'], message: 'has no use without its private key: write that into key', at: 'key' }
  }
  if (key !== undefined && cert === undefined) {
    yield { path: ['key'], message: 'has no use without its certificate: write that into cert', at: 'key' }
  }
  if (!insecure) return
  if (ca !== undefined) {
    yield { path: ['insecure'], message: 'takes any certificate, so ca has no use: remove insecure, or ca', at: 'key' }
    return
  }
  const message =
    'takes any certificate, so whoever is in between can read and change what is sent: ' +
    "write the server's own authority into ca instead"
  yield { path: ['insecure'], message, level: 'warning' }
}
