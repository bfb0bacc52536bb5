import type { Config } from '../../config/config.ts'
import { systemClock } from '../../domain/clock.ts'
import { errorMessage } from '../../domain/errors.ts'
import { duration } from '../instant.ts'
import { type Check, type CheckResult, ok, problem, warning } from './check.ts'

const NAME = 'clock'

/** So much is no fault of the clock: the header has whole seconds, and the way takes its time. */
const NOTABLE_MS = 5_000

/** This machine's clock against the Date header of an HTTP server. */
export function clockCheck(config: Config, url: URL, timeoutMs: number): Check {
  return {
    name: NAME,
    async run() {
      const [{ createPool }, { createDeadlines }] = await Promise.all([
        import('../../outgoing/pool.ts'),
        import('../../outgoing/deadlines.ts'),
      ])
      const deadlines = createDeadlines(timeoutMs)
      const pool = createPool(url.origin, { deadlines, connections: 1, allowLinkLocal: 'never' })
      const askedAt = systemClock.now()
      try {
        const { headers, body } = await pool.dispatcher.request({
          method: 'HEAD',
          path: `${url.pathname}${url.search}`,
          signal: AbortSignal.timeout(timeoutMs),
        })
        await body.dump()
        const theirs = Date.parse(String(headers.date))
        // It is cut to whole seconds: half a one is right on average.
        return [judged(theirs + 500 - (askedAt + systemClock.now()) / 2, url.host, strictest(config))]
      } catch (error) {
        return [warning(NAME, `no time from ${url.host}: ${errorMessage(error)}`, 'name another server')]
      } finally {
        await pool.destroy()
      }
    },
  }
}

function judged(aheadMs: number, host: string, toleranceMs: number): CheckResult {
  if (Number.isNaN(aheadMs)) return warning(NAME, `${host} does not tell the time`, 'name another server')
  const off = Math.abs(aheadMs)
  if (off < NOTABLE_MS) return ok(NAME, `within ${NOTABLE_MS / 1000} s of ${host}`)
  const message = `${duration(off)} ${aheadMs > 0 ? 'behind' : 'ahead of'} ${host}`
  const advice = 'have it set by the network: timedatectl set-ntp true'
  if (off < toleranceMs) return warning(NAME, message, advice)
  return problem(NAME, `${message}: genuine requests are refused as too old (tolerance)`, advice)
}

function strictest({ sources }: Config): number {
  return Math.min(...Object.values(sources).map((source) => ('toleranceMs' in source ? source.toleranceMs : Infinity)))
}
