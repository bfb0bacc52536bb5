import { existsSync } from 'node:fs'
import type { Config } from '../../config/config.ts'
import { CONFIRM_COMMAND, holdText } from '../../documents/clock.ts'
import { systemClock } from '../../domain/clock.ts'
import type { ClockTrust } from '../../domain/clock-trust.ts'
import { errorMessage, RelayError } from '../../domain/errors.ts'
import { readMachineClock } from '../../machine-clock.ts'
import { destinationOf, unmountedAbove } from '../../mounts.ts'
import { type Diagnosis, MUCH_LOG_BYTES } from '../../outbox/maintenance.ts'
import type { OutboxOperator, ProviderReport, TargetSummary } from '../../outbox/operator.ts'
import { permissionProblem } from '../../safe-file.ts'
import { bytes } from '../bytes.ts'
import { duration, iso } from '../instant.ts'
import { timeoutAdvice, timeoutsInWords } from '../listed-targets.ts'
import { withMaintenance, withOutbox } from '../open-outbox.ts'
import { orphanedAdvice, orphanedText } from '../orphaned.ts'
import { counted } from '../printing.ts'
import { type CheckResult, ok, problem, warning } from './check.ts'

/** What can be learned from the outbox. */
export interface OutboxFacts {
  readonly results: CheckResult[]
  readonly daemon: Awaited<ReturnType<OutboxOperator['daemon']>>
  readonly running: boolean
  /** Null where nobody knows. */
  readonly targets: readonly TargetSummary[] | null
  readonly provider: readonly ProviderReport[]
}

/** Looks into the outbox; one that is not there yet, or cannot be used, is told of and leaves the rest unknown. */
export async function examineOutbox(
  { outbox: { path, maxSizeBytes, createIfMissing } }: Config,
  deep: boolean,
  now: number,
): Promise<OutboxFacts> {
  const unknown = { daemon: null, running: false, targets: null, provider: [] }
  const [unmounted] = unmountedAbove(path)
  const mounts = unmounted === undefined ? [] : [notMounted(path, unmounted)]
  const denied = permissionProblem(path)
  if (denied !== undefined)
    return { ...unknown, results: [...mounts, problem('outbox', denied, 'run doctor as that user')] }
  if (!existsSync(path)) return { ...unknown, results: [...mounts, missing(path, createIfMissing)] }
  let running = false
  try {
    const diagnosis = await withMaintenance(path, async (outbox) => {
      running = await outbox.isRunning()
      return outbox.diagnose(deep)
    })
    const facts = await withOutbox(path, async (outbox) => ({
      daemon: await outbox.daemon(),
      targets: await outbox.listTargets(now),
      provider: await outbox.provider(),
      clock: await outbox.clock(readMachineClock(systemClock)),
    }))
    return {
      ...facts,
      running,
      results: [
        ...mounts,
        ...storage(path, diagnosis, deep),
        ...schema(diagnosis, running),
        ...size(diagnosis, maxSizeBytes),
        ...rejections(diagnosis),
        ...heldRetention(facts.clock),
      ],
    }
  } catch (error) {
    return { ...unknown, running, results: [...mounts, unreadable(path, error)] }
  }
}

function unreadable(path: string, error: unknown): CheckResult {
  if (error instanceof RelayError) return problem('outbox', error.message, 'see what it says')
  // The file cannot be opened at all: this is SQLite's message.
  return problem('outbox', `${path}: ${errorMessage(error)}`, 'restore a backup (see the README)')
}

function missing(path: string, createIfMissing: boolean): CheckResult {
  const target = destinationOf(path)
  const message = `there is none at ${path} yet${target === path ? '' : `, which leads to ${target}`}`
  if (createIfMissing) return warning('outbox', message, 'the relay creates it when it is first started')
  const advice = 'mount its volume, or restore a backup; to begin with an empty outbox: serve --create'
  return problem('outbox', `${message}, and outbox.createIfMissing is false: the relay does not start`, advice)
}

function notMounted(path: string, mountPoint: string): CheckResult {
  const advice = `mount ${mountPoint} and restart the relay; what the outbox holds now stays under the mount point`
  return problem('outbox', `${path} is below ${mountPoint}, which is in /etc/fstab but not mounted`, advice)
}

function schema({ schemaVersion, programSchema }: Diagnosis, running: boolean): CheckResult[] {
  if (schemaVersion === programSchema) return []
  const advice = `${running ? 'restart' : 'start'} the relay, which migrates it; until then, commands change nothing`
  return [warning('outbox', `has schema ${schemaVersion}, and this program writes ${programSchema}`, advice)]
}

function storage(path: string, diagnosis: Diagnosis, deep: boolean): CheckResult[] {
  const { engine, schemaVersion, damage, logBytes, createdAt } = diagnosis
  const since = createdAt === null ? '' : `, exists since ${iso(createdAt)}`
  const checked = `${path}: ${engine}, schema ${schemaVersion}, ${deep ? 'sound in every detail' : 'sound'}${since}`
  const advice = 'stop the relay, keep a copy of all its files, and restore a backup (see the README)'
  return [
    damage.length === 0 ? ok('outbox', checked) : problem('outbox', `${path} is damaged: ${damage.join('; ')}`, advice),
    ...(logBytes < MUCH_LOG_BYTES ? [] : [pinnedLog(path, logBytes)]),
  ]
}

function pinnedLog(path: string, logBytes: number): CheckResult {
  const advice = `some program reads the outbox without ever ending, perhaps an open sqlite3; find and end it: fuser -v ${path}`
  return warning('outbox', `its log has ${bytes(logBytes)}`, advice)
}

function* size({ usedBytes, shrinks }: Diagnosis, maxSizeBytes: number | null): Iterable<CheckResult> {
  if (maxSizeBytes !== null && usedBytes > maxSizeBytes) {
    const advice =
      'the relay removes what is finished; if it stays so: see what is unfinished or refused, or raise maxSize'
    yield warning('outbox', `it holds ${bytes(usedBytes)}, more than maxSize (${bytes(maxSizeBytes)})`, advice)
  }
  if (!shrinks) {
    const advice = 'rewrite it once while the relay is stopped: prune --older-than 36500d --vacuum'
    yield warning('outbox', 'the file does not get smaller by itself', advice)
  }
}

function heldRetention({ hold }: ClockTrust): CheckResult[] {
  return hold === null ? [] : [warning('retention', `held: ${holdText(hold)}`, CONFIRM_COMMAND)]
}

function rejections({ keptRejections }: Diagnosis): CheckResult[] {
  return keptRejections.map(({ reason, count, lastAt }) => {
    const requests = `${count} genuine ${count === 1 ? 'request was' : 'requests were'} refused`
    const stale = reason === 'timestamp_stale'
    return warning(
      'rejections',
      `${requests} as ${reason}, the last one at ${iso(lastAt)}`,
      stale ? "check this machine's clock: doctor --clock URL" : 'they are kept: look at them in rejection_log',
    )
  })
}

/** What waits for each target, or will not be delivered; one line a target where there is anything to tell. */
export function deliveryResults(config: Config, targets: readonly TargetSummary[], now: number): CheckResult[] {
  const results = targets.flatMap((target) => [...backlog(config, target, now)])
  return results.length > 0 ? results : [ok('deliveries', 'none is dead, and none waits for long')]
}

function* backlog(config: Config, summary: TargetSummary, now: number): Iterable<CheckResult> {
  const { target, pending, held, heldCalls, dead, breaker, throttle, oldestDueAt, paused, lastProbe, timedOut } =
    summary
  const name = `target ${target}`
  const configured = Object.hasOwn(config.targets, target)
  if (!configured && pending + dead > 0) {
    yield warning(name, orphanedText({ pending, dead }), orphanedAdvice(target))
    return
  }
  if (breaker !== null && configured) {
    const advice = `see why: deliveries list --target ${target} --state pending`
    const probed = lastProbe === null ? '' : `; delivery ${lastProbe.deliveryId} probed it last`
    yield warning(name, `has failed so often that its breaker is open${probed}`, advice)
  }
  if (throttle !== null && configured) {
    const advice = `lower its rate: targets.${target}.rateLimit; or try it now: targets probe ${target}`
    yield warning(
      name,
      `has asked for no requests for another ${duration(throttle.until - now)} (429 or Retry-After)`,
      advice,
    )
  } else if (oldestDueAt !== null && now - oldestDueAt > config.delivery.alertAfterMs) {
    const isPaused = paused || config.targets[target]?.paused === true
    const advice = isPaused
      ? `it is paused: targets resume ${target}`
      : 'is the relay running, and does the target answer?'
    yield warning(name, `its oldest due delivery has waited for ${duration(now - oldestDueAt)}`, advice)
  }
  if (timedOut > 0 && configured) {
    yield warning(name, timeoutsInWords(timedOut), timeoutAdvice(target))
  }
  if (held > 0) {
    const what = `${counted(held, 'delivery')} of ${counted(heldCalls, 'call')}`
    const which = `--holding --target ${target}`
    const advice = `deliveries list ${which}, then: deliveries retry ${which}, or: deliveries cancel ${which}`
    yield warning(name, `${what} wait behind dead deliveries that hold their calls`, advice)
  }
  if (dead > 0) {
    const advice = `deliveries list --target ${target} --state dead, then: deliveries retry --target ${target}`
    yield warning(name, `${counted(dead, 'delivery')} dead`, advice)
  }
}
