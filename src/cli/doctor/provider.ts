import type { Config, UltravoxConfig } from '../../config/config.ts'
import { wantedWebhook, watchedSource } from '../../config/provider-accounts.ts'
import { rotationProgress, unfinishedRotations } from '../../config/rotation-state.ts'
import { errorMessage } from '../../domain/errors.ts'
import type { ProviderReport } from '../../outbox/operator.ts'
import { plainUrl, shownUrl } from '../../ultravox/shown-url.ts'
import { duration, iso } from '../instant.ts'
import { counted } from '../printing.ts'
import { withClient } from '../provider-client.ts'
import { unreadableInWords } from '../provider-report.ts'
import { type Check, type CheckResult, ok, problem, warning } from './check.ts'

const ROTATION = 'rotation'

/** So many intervals may pass without a sweep before something must be wrong. */
const PATIENCE = 3

/** Asks the provider whether the key is good and the webhook as it should be. It changes nothing there. */
export function providerChecks(config: Config, timeoutMs: number): Check[] {
  return config.ultravox.map((account) => accountCheck(config, account, timeoutMs))
}

function accountCheck(config: Config, ultravox: UltravoxConfig, timeoutMs: number): Check {
  const isOnly = config.ultravox.length === 1
  const name = isOnly ? 'ultravox' : `ultravox ${ultravox.account}`
  const which = isOnly ? '' : ` --account ${ultravox.account}`
  const run = async () => {
    const { webhookProblems } = await import('../../ultravox/webhook-health.ts')
    const wanted = wantedWebhook(config, ultravox)
    try {
      const signal = AbortSignal.timeout(timeoutMs)
      const webhooks = await withClient(ultravox, (client) => client.listWebhooks(), signal)
      if (wanted === null) return [ok(name, `${plainUrl(ultravox.baseUrl)} takes the API key`)]
      const problems = webhookProblems(wanted, webhooks)
      if (problems.length === 0) return [ok(name, `the webhook to ${shownUrl(wanted.url)} is as it should be`)]
      return problems.map(({ message }) => problem(name, message, `see: webhooks ensure${which} --dry-run`))
    } catch (error) {
      return [problem(name, errorMessage(error), 'check ultravox.apiKey and ultravox.baseUrl, and the way there')]
    }
  }
  return { name, run }
}

/** Rotations of a webhook's secret that were begun and not ended: both secrets stay valid until they are. */
export function rotationResults(config: Config): CheckResult[] {
  return unfinishedRotations(config).map((rotation) => {
    const { which } = rotation
    if ('problem' in rotation) return problem(ROTATION, rotation.problem, `then: webhooks rotate-secret${which}`)
    const { webhookId, startedAt } = rotation
    const message = `the rotation of the secret of webhook ${webhookId}, begun at ${iso(startedAt)}, is unfinished: ${rotationProgress(rotation)}`
    const advice = `to go on: webhooks rotate-secret${which}; to go back to the old secret: webhooks rotate-secret${which} --abort`
    return warning(ROTATION, message, advice)
  })
}

/** What the relay has noted of its looks at the provider. */
export function reconciliationResults(
  { ultravox }: Config,
  reports: readonly ProviderReport[],
  running: boolean,
  now: number,
): CheckResult[] {
  return reports.flatMap(({ source, swept, failing = [], unreadable = [], gaps }) => {
    const every = ultravox.find((account) => watchedSource(account) === source)?.reconcile?.everyMs
    const name = `source ${source}`
    const since = swept === null ? null : now - swept.at
    const late = running && every !== undefined && since !== null && since > PATIENCE * every
    return [
      ...failing.map(({ endpoint, at, failures, message }) =>
        problem(
          name,
          `${endpoint} failed at ${iso(at)}${failures > 1 ? `, ${failures} times in a row` : ''}: ${message}`,
          'see the line on ultravox',
        ),
      ),
      ...unreadable.map((each) =>
        problem(
          name,
          `${unreadableInWords(each)}, such as ${each.callId ?? '(no id)'}: ${each.problem}`,
          'their events may be missing: upgrade the relay, or report the field',
        ),
      ),
      ...(late ? [problem(name, `was last reconciled ${duration(since)} ago`, 'look at the log of the relay')] : []),
      ...(gaps === 0 ? [] : [warning(name, `${counted(gaps, 'event')} can never be had`, 'see which: events gaps')]),
    ]
  })
}
