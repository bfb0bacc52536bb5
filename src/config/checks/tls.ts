import { type ChainUse, chainRemarks, keyIn, openSslProblem, pairProblem } from '../certificate-chain.ts'
import type { Draft, SoundTarget } from '../draft.ts'
import type { Finding } from '../finding.ts'
import { certificateProblem, certificatesIn, keyProblem, pemOf, readPem } from '../pem.ts'
import { httpsHosts } from '../server-tls.ts'

type Tls = NonNullable<Extract<SoundTarget, { tls?: unknown }>['tls']>

/** Keys of `tls` that need or exclude each other. */
export function checkTls(draft: Draft): Iterable<Finding> {
  return findingsOf(draft, contradictions)
}

/** Certificates and keys that cannot be used, or that peers will reject. */
export function* checkCertificates(draft: Draft): Iterable<Finding> {
  const { directory, now } = draft.surroundings
  yield* findingsOf(draft, (tls) => judge(tls, directory, { role: 'client', hosts: [], now }))
  for (const { tls, path } of draft.ultravox) {
    if (tls === undefined) continue
    const use = { role: 'client', hosts: [], now } as const
    for (const finding of judge(tls, directory, use)) yield { ...finding, path: [...path, 'tls', ...finding.path] }
  }
  const { tls } = draft.server
  if (tls === undefined) return
  const hosts = httpsHosts(draft.ultravox.flatMap(({ webhook }) => webhook?.url ?? []))
  const use = { role: 'server', hosts, now } as const
  for (const finding of judge(tls, directory, use)) yield { ...finding, path: ['server', 'tls', ...finding.path] }
}

function* findingsOf({ targets }: Draft, look: (tls: Tls) => Iterable<Finding>): Iterable<Finding> {
  for (const [name, target] of targets) {
    if (!('tls' in target) || target.tls === undefined) continue
    for (const finding of look(target.tls)) yield { ...finding, path: ['targets', name, 'tls', ...finding.path] }
  }
}

function* judge(
  { ca, cert, key }: Partial<Pick<Tls, 'ca' | 'cert' | 'key'>>,
  directory: string,
  use: ChainUse,
): Iterable<Finding> {
  if (ca !== undefined) yield* judgeAuthorities(readPem(ca, directory), use.now)
  const pem = cert && readPem(cert, directory)
  const chain = pem !== undefined && 'text' in pem ? certificatesIn(pem.text) : undefined
  if (pem !== undefined && 'problem' in pem) yield { path: ['cert'], message: pem.problem }
  else if (pem !== undefined && chain === undefined) yield { path: ['cert'], message: certificateProblem(pem.text) }
  const keyPem = key && readPem(key, directory)
  const unsound = keyPem && ('problem' in keyPem ? keyPem.problem : keyProblem(keyPem.text))
  if (unsound !== undefined) yield { path: ['key'], message: unsound }
  if (chain === undefined) return
  if (keyPem !== undefined && 'text' in keyPem && unsound === undefined) {
    const pair = pairProblem(chain, keyIn(keyPem.text)!)
    // What else there is to say is about the wrong certificate.
    if (pair !== undefined) return yield { path: [pair.at], message: pair.message }
    const rejected = openSslProblem(pemOf(chain), keyPem.text)
    if (rejected !== undefined) return yield { path: ['cert'], message: rejected }
  }
  for (const remark of chainRemarks(chain, use)) yield { path: ['cert'], ...remark }
}

function* judgeAuthorities(pem: ReturnType<typeof readPem>, now: number): Iterable<Finding> {
  const chain = 'text' in pem ? certificatesIn(pem.text) : undefined
  if ('problem' in pem) yield { path: ['ca'], message: pem.problem }
  else if (chain === undefined) yield { path: ['ca'], message: certificateProblem(pem.text) }
  else if (chain.every(({ validTo }) => Date.parse(validTo) <= now)) {
    const message = 'has only authorities that have expired, so every server is rejected: write their successors'
    yield { path: ['ca'], message, level: 'warning' }
  }
}

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
