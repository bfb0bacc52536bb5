import { Command, InvalidArgumentError, Option } from 'commander'
import type { Config } from '../config/config.ts'
import { ConfigError, formatProblem } from '../config/problem.ts'
import { reportsOf } from '../documents/provider.ts'
import { systemClock } from '../domain/clock.ts'
import { configFile, configOption, loadOrProblems } from './config-file.ts'
import { certificateChecks } from './doctor/certificate.ts'
import { type CheckResult, ok, problem, runChecks, warning } from './doctor/check.ts'
import { clockCheck } from './doctor/clock.ts'
import { credentialChecks } from './doctor/credentials.ts'
import { daemonCheck, isNotRunning } from './doctor/daemon.ts'
import { fileChecks } from './doctor/files.ts'
import { deliveryResults, examineOutbox } from './doctor/outbox.ts'
import { providerChecks, reconciliationResults, rotationResults } from './doctor/provider.ts'
import { targetChecks } from './doctor/targets.ts'
import { withOutbox } from './open-outbox.ts'
import { outboxConfig } from './outbox-config.ts'
import { examples, jsonOption, print } from './printing.ts'
import { requestProblems } from './request-problems.ts'
import { useServiceCredentials } from './service-credentials.ts'
import { type Style, styled } from './style.ts'
import { oneLine } from './table.ts'

/** For each check that waits for somebody else. */
const TIMEOUT_MS = 5_000

interface DoctorOptions {
  readonly config?: string
  readonly json?: boolean
  readonly deep?: boolean
  readonly exitCode?: boolean
  readonly clock?: URL
}

/** Looks at everything that a relay depends on. Works whether it runs or not. */
export function doctorCommand(): Command {
  return new Command('doctor')
    .description('check the outbox, the targets and the provider, and say what to do: 0 no problem, 1 there is one')
    .addOption(configOption())
    .addOption(jsonOption())
    .option('--exit-code', 'for monitoring: exit with 1 for warnings too, and with 4 if no relay is running')
    .option('--deep', 'check the whole outbox in every detail, which may take minutes')
    .addOption(
      new Option('--clock <url>', "compare this machine's clock with that HTTP server's").argParser(parseHttpUrl),
    )
    .addHelpText(
      'after',
      `\nRun it as the user that the relay runs as, and with its environment. Targets are connected to, TLS included, but nothing
is sent to them. Ultravox is asked about the webhook where the configuration has its API key. Warnings do not change the exit status without --exit-code.
${examples('doctor', 'doctor --deep --json', 'doctor --clock https://api.ultravox.ai')}`,
    )
    .action(async (options: DoctorOptions) => {
      const results = await examine(configFile(options.config), options)
      const [problems, warnings] = (['problem', 'warning'] as const).map(
        (level) => results.filter((result) => result.level === level).length,
      ) as [number, number]
      print(options.json, { ok: problems === 0, problems, warnings, checks: results }, shown(results))
      if (problems > 0 || (options.exitCode === true && warnings > 0)) process.exitCode = 1
      if (options.exitCode === true && results.some(isNotRunning)) process.exitCode = 4
    })
}

async function examine(file: string, { deep = false, clock }: DoctorOptions): Promise<CheckResult[]> {
  await useServiceCredentials(file)
  const loaded = load(file)
  if ('problems' in loaded) return [...loaded.problems, ...(await fromRecord(file, deep))]
  const { config, results } = loaded
  const now = systemClock.now()
  // By itself and first: it keeps this thread busy for as long as it takes to read the outbox.
  const facts = await examineOutbox(config, deep, now)
  const checked = await runChecks(
    [
      ...fileChecks(config, file),
      daemonCheck(config, facts, file, TIMEOUT_MS),
      ...credentialChecks(facts),
      ...certificateChecks(config, facts, now),
      ...(clock === undefined ? [] : [clockCheck(config, clock, TIMEOUT_MS)]),
      ...targetChecks(config, now, TIMEOUT_MS),
      ...providerChecks(config, TIMEOUT_MS),
    ],
    // The checks give up by themselves, and say more about it.
    TIMEOUT_MS + 1_000,
  )
  const deliveries = facts.targets === null ? [] : deliveryResults(config, facts.targets, now)
  const requests = facts.targets === null ? [] : await requestResults(config, now)
  const reconciled = reconciliationResults(config, reportsOf(config, facts.provider), facts.running, now)
  return [
    ...results,
    ...facts.results,
    ...checked,
    ...requests,
    ...deliveries,
    ...reconciled,
    ...rotationResults(config),
  ]
}

async function requestResults(config: Config, now: number): Promise<CheckResult[]> {
  const found = await withOutbox(config.outbox.path, (operator) => requestProblems(operator, config, now))
  return found.map(({ name, message, advice, isLikely }) => (isLikely ? problem : warning)(name, message, advice))
}

/** What can be checked with an invalid configuration: the outbox, and what the relay has put on record. */
async function fromRecord(file: string, deep: boolean): Promise<CheckResult[]> {
  const now = systemClock.now()
  try {
    const config = await outboxConfig(file)
    const facts = await examineOutbox(config, deep, now)
    if (facts.targets === null) return facts.results
    const credentials = await runChecks(credentialChecks(facts), TIMEOUT_MS)
    return [
      ...facts.results,
      ...credentials,
      ...(await requestResults(config, now)),
      ...deliveryResults(config, facts.targets, now),
    ]
  } catch (error) {
    // Without an outbox there is nothing to check.
    if (error instanceof ConfigError) return []
    throw error
  }
}

function load(file: string) {
  const loaded = loadOrProblems(file, 'start')
  if ('problems' in loaded) {
    const advice = 'fix it; a running relay keeps the configuration that it has loaded'
    return { problems: loaded.problems.map((each) => problem('configuration', formatProblem(each), advice)) }
  }
  const { config, warnings } = loaded
  const told = warnings.map((each) => warning('configuration', formatProblem(each), 'see docs/configuration.md'))
  return { config, results: told.length > 0 ? told : [ok('configuration', `${file} is valid`)] }
}

const STYLES: Readonly<Record<CheckResult['level'], Style>> = { ok: 'green', warning: 'yellow', problem: 'red' }

function shown(results: readonly CheckResult[]): string {
  const width = Math.max(...results.map(({ name }) => name.length))
  return results
    .map(({ name, level, message, advice }) => {
      const start = `${styled(STYLES[level], level.padEnd(8))} ${name.padEnd(width)}  ${oneLine(message)}\n`
      return advice === null ? start : `${start}${' '.repeat(width + 11)}${styled('dim', `→ ${oneLine(advice)}`)}\n`
    })
    .join('')
}

function parseHttpUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol === 'https:' || url?.protocol === 'http:') return url
  throw new InvalidArgumentError('write an http or https URL, such as https://api.ultravox.ai')
}
