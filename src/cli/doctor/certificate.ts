import { statSync } from 'node:fs'
import type { Config, ServerTlsConfig } from '../../config/config.ts'
import { certificateOf, clientCertificates } from '../../config/server-tls.ts'
import { type CertificateFacts, lifetimeOf } from '../../domain/certificate.ts'
import { duration, iso } from '../instant.ts'
import { servedCertificate } from '../served-certificate.ts'
import { type Check, type CheckResult, ok, problem, warning } from './check.ts'
import type { OutboxFacts } from './outbox.ts'

const NAME = 'certificate'
const SERVED = 'that of the public listener'
/** The relay looks at its files every two seconds. */
const JUST_CHANGED_MS = 10_000

/** What the public listener serves, or would serve while no relay runs, and the client certificates of targets. */
export function certificateChecks(config: Config, { daemon, running }: OutboxFacts, now: number): Check[] {
  const { tls } = config.server
  const clients = clientCertificates(config).map(({ target, facts }) => ({
    name: `target ${target}`,
    run: async () => clientResults(`target ${target}`, facts, now),
  }))
  const stale = running && daemon !== null ? staleFiles(config, loadedAt(daemon)) : []
  const others = [...clients, ...stale]
  if (tls === null) return others
  const ofFiles = certificateOf(tls.cert)!
  const run = async () =>
    running && daemon !== null
      ? await servedResults(config, tls, { ...daemon, running }, now)
      : [lifetimeResult(NAME, `${SERVED} (in its files: no relay is running)`, ofFiles, now)]
  return [{ name: NAME, run }, ...others]
}

async function servedResults(
  config: Config,
  tls: ServerTlsConfig,
  daemon: NonNullable<OutboxFacts['daemon']>,
  now: number,
): Promise<CheckResult[]> {
  const { served, problem: trouble } = await servedCertificate(config, daemon)
  if (served === null) return [problem(NAME, trouble!, 'look at its log; switching TLS on or off takes a restart')]
  const lifetime = lifetimeResult(NAME, SERVED, served, now)
  return [
    lifetime,
    ...(served.selfSigned
      ? [ok(NAME, 'it is self-signed: only clients with it among their authorities accept it')]
      : []),
    ...(trouble === null ? [] : [notLoaded(trouble, tls, now)]),
  ]
}

function notLoaded(trouble: string, { certFile, keyFile }: ServerTlsConfig, now: number): CheckResult {
  const changedAt = Math.max(...[certFile, keyFile].map((file) => (file === null ? 0 : statSync(file).ctimeMs)))
  if (now - changedAt < JUST_CHANGED_MS) {
    return warning(NAME, trouble, 'it has just changed, and the relay loads it within seconds: run doctor again')
  }
  if (certFile === null) return problem(NAME, trouble, 'run ultravox-relay reload')
  const access = [certFile, keyFile].flatMap((file) => (file === null ? [] : ownership(file))).join(', ')
  const advice = `let the user that the relay runs as read both files (${access}); its log says why it did not load them`
  return problem(NAME, trouble, advice)
}

function ownership(file: string): string {
  const { uid, gid, mode } = statSync(file)
  return `${file}: uid ${uid}, gid ${gid}, mode ${(mode & 0o777).toString(8)}`
}

/** When the relay last read its files. A failed reload has loaded nothing, and an earlier one is not on record. */
function loadedAt({ startedAt, reloadedAt, reloadProblem }: NonNullable<OutboxFacts['daemon']>): number {
  return reloadProblem === null ? (reloadedAt ?? startedAt) : startedAt
}

/** Files of targets that changed after `loadedAt` (epoch milliseconds): the relay goes on with their previous content. */
function staleFiles({ targets }: Config, loadedAt: number): Check[] {
  return Object.entries(targets).map(([target, options]) => {
    const name = `target ${target}`
    const files = 'tls' in options ? (options.tls?.files ?? []) : []
    const run = async () => {
      const changed = files.filter((file) => statSync(file).ctimeMs > loadedAt)
      if (changed.length === 0) return []
      return [warning(name, `${changed.join(' and ')} changed after the relay loaded it`, 'run ultravox-relay reload')]
    }
    return { name, run }
  })
}

function clientResults(name: string, facts: CertificateFacts, now: number): CheckResult[] {
  const result = lifetimeResult(name, 'its client certificate', facts, now, 'renew it, then run ultravox-relay reload')
  return result.level === 'ok' ? [] : [result]
}

function lifetimeResult(
  name: string,
  what: string,
  facts: CertificateFacts,
  now: number,
  advice = 'renew it: the relay loads the new files by itself',
): CheckResult {
  const { notBefore, notAfter } = facts
  switch (lifetimeOf(facts, now)) {
    case 'expired':
      return problem(name, `${what} expired at ${iso(notAfter)}`, advice)
    case 'not_yet_valid':
      return problem(name, `${what} is not valid before ${iso(notBefore)}`, 'check the clock of this machine, or wait')
    case 'expiring':
      return warning(name, `${what} expires at ${iso(notAfter)}, in ${duration(notAfter - now)}`, advice)
    case 'valid':
      return ok(name, `${what} is good for ${goodFor(notAfter - now)}`)
  }
}

/** In whole days where there are some. */
export function goodFor(ms: number): string {
  const days = Math.floor(ms / 86_400_000)
  return days > 1 ? `${days} days` : duration(ms)
}
