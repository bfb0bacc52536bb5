import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { PATH, type Requests, WARM_UP_S } from './requests.ts'

/** What wrk saw. Latencies in milliseconds. */
export interface Load {
  readonly requestCount: number
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
}

export interface LoadOptions {
  readonly port: number
  readonly connections: number
  readonly seconds: number
  readonly requests: Requests
  /** The number of the first one to send; 0 where it is absent. */
  readonly first?: number
  /** For what tells no duplicates: where there are not enough, they are sent once more. */
  readonly mayRepeat?: true
}

/** Loads a server with wrk, in a process of its own. Throws where a request failed, or where wrk is not installed. */
export async function load({ port, connections, seconds, requests, first = 0, mayRepeat }: LoadOptions): Promise<Load> {
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '30s', '-s', 'bench/wrk.lua']
  const child = spawn('wrk', [...args, `http://127.0.0.1:${port}${PATH}`], {
    env: {
      ...process.env,
      BENCH_REQUESTS: requests.file,
      BENCH_SIZE: String(requests.bytesEach),
      BENCH_FIRST: String(first),
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [output] = await Promise.all([
    text(child.stdout),
    once(child, 'close').catch(() => {
      throw new Error('wrk cannot be started; it is the Debian package wrk')
    }),
  ])
  const line = output.split('\n').find((each) => each.startsWith('{'))
  if (line === undefined) throw new Error(`wrk said: ${output}`)
  const seen = JSON.parse(line) as { requests: number; seconds: number; p50: number; p99: number; failed: number }
  if (seen.failed > 0) throw new Error(`${seen.failed} of ${seen.requests} requests failed`)
  if (!mayRepeat && first + seen.requests > requests.count) {
    throw new Error(`more than the ${requests.count} requests that there are were sent: some were duplicates`)
  }
  return { requestCount: seen.requests, perSecond: seen.requests / seen.seconds, p50: seen.p50, p99: seen.p99 }
}

/**
 * The same, after it has been loaded for a while: what is measured is a server that has been running, as all but a few are.
 * `whenWarm` is done in between.
 */
export async function loadWarm(options: LoadOptions, whenWarm?: () => Promise<unknown>): Promise<Load> {
  const { requestCount } = await load({ ...options, seconds: WARM_UP_S })
  await whenWarm?.()
  // Those that were under way at the end are not counted.
  return load({ ...options, first: requestCount + options.connections })
}
