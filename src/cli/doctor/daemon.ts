import { existsSync, realpathSync, statSync } from 'node:fs'
import type { Config } from '../../config/config.ts'
import { errorMessage } from '../../domain/errors.ts'
import { VERSION } from '../../version.ts'
import { iso } from '../instant.ts'
import { askOwn, ownOrigin } from '../own-listener.ts'
import { type Check, type CheckResult, ok, problem, warning } from './check.ts'
import type { OutboxFacts } from './outbox.ts'

const NAME = 'daemon'

const NOT_RUNNING = 'no relay is running on this outbox'

export function isNotRunning({ name, message }: CheckResult): boolean {
  return name === NAME && message === NOT_RUNNING
}

type Told = NonNullable<OutboxFacts['daemon']>

/** Whether a relay runs on the outbox, answers, and is what is installed and configured now. `file`: the configuration. */
export function daemonCheck(config: Config, { daemon, running }: OutboxFacts, file: string, timeoutMs: number): Check {
  return {
    name: NAME,
    async run() {
      if (!running) return [warning(NAME, NOT_RUNNING, 'start it: ultravox-relay serve')]
      if (daemon === null) return [warning(NAME, 'a relay is running, but has not told where', 'restart it')]
      return [await health(config, daemon, timeoutMs), ...version(daemon), ...configuration(daemon, file)]
    },
  }
}

async function health(config: Config, { pid, listen, startedAt }: Told, timeoutMs: number): Promise<CheckResult> {
  const url = `${ownOrigin(config, listen)}/healthz`
  const advice = 'look at its log; if it hangs, restart it'
  try {
    const { statusCode, body } = await askOwn(config, url, { method: 'GET', signal: AbortSignal.timeout(timeoutMs) })
    await body.dump()
    if (statusCode === 200) return ok(NAME, `process ${pid} since ${iso(startedAt)}, answers on ${listen}`)
    return problem(NAME, `process ${pid} answers ${statusCode} on ${url}`, advice)
  } catch (error) {
    return problem(NAME, `process ${pid} does not answer on ${url}: ${errorMessage(error)}`, advice)
  }
}

function version({ version }: Told): CheckResult[] {
  if (version === VERSION) return []
  return [warning(NAME, `it is version ${version}, and this is ${VERSION}`, 'restart it, to run what is installed')]
}

function configuration({ configFile, startedAt, reloadedAt, reloadProblem }: Told, file: string): CheckResult[] {
  const theirs = existsSync(configFile) ? realpathSync(configFile) : configFile
  if (theirs !== realpathSync(file)) {
    return [warning(NAME, `it runs on the configuration ${configFile}`, 'name that one with --config')]
  }
  if (reloadProblem !== null) {
    const since = reloadedAt === null ? '' : ` at ${iso(reloadedAt)}`
    return [problem(NAME, `could not load its configuration anew${since}: ${reloadProblem}`, 'mend it and reload')]
  }
  if (statSync(file).mtimeMs <= (reloadedAt ?? startedAt)) return []
  return [warning(NAME, `${file} was changed after it was loaded`, 'restart the relay, or have it reload')]
}
