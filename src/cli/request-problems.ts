import type { Config } from '../config/config.ts'
import { didYouMean } from '../config/suggestion.ts'
import type { RefusalCode } from '../domain/errors.ts'
import type { OutboxOperator, SourceActivity } from '../outbox/operator.ts'
import { ago } from './instant.ts'
import { oneLine } from './table.ts'

/** Requests that did not become events, and the likely cause. */
export interface RequestProblem {
  /** Such as `source ultravox`. */
  readonly name: string
  readonly message: string
  readonly advice: string
  /** No event has ever come this way: the webhook is set up wrongly. Else it may be noise. */
  readonly isLikely: boolean
}

export type RequestReader = Pick<OutboxOperator, 'daemon' | 'status' | 'listRejections'>

const HOUR_MS = 60 * 60_000

/** What the requests of the last hour to sources and of the last day to unknown paths say about how the webhook is set up. */
export async function requestProblems(operator: RequestReader, config: Config, now: number): Promise<RequestProblem[]> {
  const { sources } = await operator.status(now)
  const daemon = await operator.daemon()
  const known = sources.filter(({ source }) => Object.hasOwn(config.sources, source))
  const rejected = await Promise.all(known.map((source) => rejectionsOf(operator, source, now)))
  return [...rejected.flat(), ...unknownPaths(daemon?.unknownPaths ?? [], config, known, now)]
}

async function rejectionsOf(operator: RequestReader, activity: SourceActivity, now: number): Promise<RequestProblem[]> {
  const { source, lastEventAt, refusedLastHour } = activity
  const problems: RequestProblem[] = []
  for (const { reason, count } of refusedLastHour) {
    const advice = ADVICE[reason as RefusalCode]?.(source)
    if (advice === undefined) continue
    const filter = { source, reason: reason as RefusalCode, since: now - HOUR_MS }
    const [last] = await operator.listRejections(filter, 1)
    const from = last === undefined ? '' : `, last ${ago(last.receivedAt, now)} from ${oneLine(last.peer)}`
    const requests = count === 1 ? 'request' : 'requests'
    const message = `rejected ${count} ${requests} in the last hour as ${reason}${from}`
    problems.push({ name: `source ${source}`, message, advice, isLikely: lastEventAt === null })
  }
  return problems
}

const TIMESTAMPS = (source: string) =>
  `a clock is wrong, or the request was held up: doctor --clock https://api.ultravox.ai; to accept those that were signed: rejections admit --source ${source} --since 8h`
const HEADERS = () =>
  'not sent by Ultravox, or a proxy in between drops its headers: it has to pass x-ultravox-webhook-*'

const ADVICE: Readonly<Partial<Record<RefusalCode, (source: string) => string>>> = {
  signature_mismatch: (source) =>
    `sources.${source}.secrets is not the secret of the webhook, or a proxy changes the body: compare it with "webhooks list", or: webhooks rotate-secret`,
  signature_missing: HEADERS,
  signature_malformed: HEADERS,
  timestamp_missing: HEADERS,
  timestamp_malformed: HEADERS,
  timestamp_duplicated: HEADERS,
  timestamp_stale: TIMESTAMPS,
  method_not_allowed: () => 'webhooks are sent with POST: register the URL as it is, without a redirect in between',
}

function unknownPaths(
  paths: NonNullable<Awaited<ReturnType<OutboxOperator['daemon']>>>['unknownPaths'],
  { sources }: Config,
  known: readonly SourceActivity[],
  now: number,
): RequestProblem[] {
  const real = Object.values(sources).map(({ path }) => path)
  const without = known.filter(({ lastEventAt }) => lastEventAt === null)
  return paths.flatMap(({ method, path, peer, count, lastAt, isSigned }) => {
    const meant = real.length === 1 ? real[0] : real.find((each) => didYouMean(path, [each]) !== '')
    const isNear = real.some((each) => didYouMean(path, [each]) !== '')
    // Anything else is a scanner's.
    if (!isSigned && !(isNear && method === 'POST')) return []
    const what = `${method} ${oneLine(path)}`
    const requests = count === 1 ? '1 request' : `${count} requests`
    const message = `${what}: ${requests}${isSigned ? ' with the headers of Ultravox' : ''}, last ${ago(lastAt, now)} from ${oneLine(peer)}`
    const where = meant ?? (real.join(' or ') || 'a path of sources')
    const advice = `nothing listens on this path: register the webhook under ${where}, or set the path of the source`
    return [{ name: 'unknown path', message, advice, isLikely: isSigned && without.length > 0 }]
  })
}
