import type { Config } from '../config/config.ts'
import { rotationProgress, type UnfinishedRotation } from '../config/rotation-state.ts'
import type { ServedCertificate } from '../documents/certificate.ts'
import { CONFIRM_COMMAND, holdText } from '../documents/clock.ts'
import { type Daemon, type ListedSource, listedSources, type Status } from '../documents/status.ts'
import { type ListedTarget, listedTargets } from '../documents/targets.ts'
import { lifetimeOf } from '../domain/certificate.ts'
import { RELAY_SOURCE } from '../domain/relay-events.ts'
import { MUCH_LOG_BYTES } from '../outbox/maintenance.ts'
import type { OutboxStatus } from '../outbox/operator.ts'
import { VERSION } from '../version.ts'
import { bytes } from './bytes.ts'
import { ago, duration, iso } from './instant.ts'
import { breakerCell, countCell, nextProbe, stateCell } from './listed-targets.ts'
import { orphanedAdvice, orphanedText } from './orphaned.ts'
import { counted, shownTable } from './printing.ts'
import { providerLines } from './provider-report.ts'
import type { RequestProblem } from './request-problems.ts'
import { styled } from './style.ts'
import { cell, oneLine } from './table.ts'

export interface ShownStatus extends Status {
  readonly requests: readonly RequestProblem[]
}

export function statusText({
  now,
  config,
  outbox,
  daemon,
  provider,
  rotations,
  hold,
  certificate,
  requests,
}: ShownStatus): string {
  return [
    daemonLines(daemon, now),
    certificateLines(certificate, now),
    outboxLine(config, outbox),
    ...originLines(outbox, now),
    hold === null ? '' : fact('', styled('yellow', `retention is held: ${holdText(hold)}; ${CONFIRM_COMMAND}`)),
    ...providerLines(provider, now).map((line, index) => fact(index === 0 ? 'provider' : '', line)),
    ...rotations.map((rotation) => fact('rotation', styled('yellow', rotationLine(rotation, now)))),
    '\n',
    sourceTable(listedSources(config, outbox), now),
    ...requests.map(({ name, message, advice }) => `${styled('yellow', `${name} ${message}`)}\n  ${advice}\n`),
    '\n',
    targetTable(listedTargets(config, outbox.targets), daemon?.running === true, now),
    probeTable(listedTargets(config, outbox.targets), now),
  ].join('')
}

function rotationLine(rotation: UnfinishedRotation, now: number): string {
  if ('problem' in rotation) return oneLine(rotation.problem)
  const { webhookId, startedAt, which } = rotation
  const progress = `secret of webhook ${webhookId} begun ${ago(startedAt, now)}, ${rotationProgress(rotation)}`
  const command = `webhooks rotate-secret${which}`
  return oneLine(`${progress}; to go on: ${command}; to go back: ${command} --abort`)
}

function daemonLines(daemon: Daemon, now: number): string {
  if (daemon === null) return fact('daemon', `${styled('red', 'not running')}, and never was on this outbox`)
  const { running, pid, version, listen, configFile, startedAt, reloads, reloadedAt, reloadProblem } = daemon
  const started = `${iso(startedAt)} (${ago(startedAt, now)})`
  if (!running) {
    return fact('daemon', `${styled('red', 'not running')}; the last one, version ${version}, started ${started}`)
  }
  const other = version === VERSION ? '' : `, while this command is version ${VERSION}`
  const lines = [
    fact('daemon', `${styled('green', 'running')}, pid ${pid}, version ${version}${other}, since ${started}`),
    fact('', `listening on ${listen}, configured by ${configFile}`),
  ]
  if (reloadedAt !== null && reloadProblem !== null) {
    const failed = `reload failed ${ago(reloadedAt, now)}, nothing was changed: ${oneLine(reloadProblem)}`
    lines.push(fact('', styled('red', failed)))
  } else if (reloadedAt !== null) {
    lines.push(fact('', `reloaded ${ago(reloadedAt, now)}${reloads > 1 ? `, ${reloads} times in all` : ''}`))
  }
  return lines.join('')
}

function certificateLines({ served, problem }: ServedCertificate, now: number): string {
  const told = problem === null ? '' : fact('', styled('red', oneLine(problem)))
  if (served === null) return problem === null ? '' : fact('tls', styled('red', oneLine(problem)))
  const { subject, notAfter } = served
  const [lifetime, end] = [lifetimeOf(served, now), iso(notAfter)]
  const line = `serves the certificate of ${oneLine(subject)}, ${
    lifetime === 'expired' ? `expired since ${end}` : `valid until ${end} (in ${duration(notAfter - now)})`
  }`
  return fact('tls', lifetime === 'valid' ? line : styled(lifetime === 'expiring' ? 'yellow' : 'red', line)) + told
}

function outboxLine(config: Config, { events, storage }: OutboxStatus): string {
  const { path, reserveBytes, maxSizeBytes } = config.outbox
  const isOver = maxSizeBytes !== null && storage.usedBytes > maxSizeBytes
  const size = `${bytes(storage.bytes)}${isOver ? ', more than outbox.maxSize' : ''}`
  const isPinned = storage.walBytes >= MUCH_LOG_BYTES
  const log = `WAL ${bytes(storage.walBytes)}${isPinned ? ', held by a reader (see doctor)' : ''}`
  const isLow = storage.freeBytes < reserveBytes
  const free = `${bytes(storage.freeBytes)} of disk free${isLow ? ', less than outbox.reserve: no events are taken' : ''}`
  const parts = [
    counted(events, 'event'),
    isOver ? styled('red', size) : size,
    isPinned ? styled('yellow', log) : log,
    isLow ? styled('red', free) : free,
  ]
  return fact('outbox', `${path}: ${parts.join(', ')}`)
}

function* originLines({ storage }: OutboxStatus, now: number): Iterable<string> {
  const { createdAt, schemaVersion, programSchema } = storage
  if (createdAt !== null) yield fact('', `exists since ${iso(createdAt)} (${ago(createdAt, now)})`)
  if (schemaVersion === programSchema) return
  const problem = `schema ${schemaVersion}, and this program writes ${programSchema}: restart the relay before you change anything`
  yield fact('', styled('yellow', problem))
}

function fact(name: string, text: string): string {
  return `${name.padEnd(8)} ${text}\n`
}

function sourceTable(sources: readonly ListedSource[], now: number): string {
  return shownTable(
    ['SOURCE', 'LAST EVENT', 'EVENTS/H', 'REFUSED/H', 'REFUSED FOR'],
    sources.map(({ source, configured, lastEventAt, eventsLastHour, refusedLastHour }) => [
      configured ? source : cell(`${source} (${source === RELAY_SOURCE ? 'its own events' : 'not configured'})`, 'dim'),
      lastEventAt === null ? 'never' : ago(lastEventAt, now),
      eventsLastHour,
      countCell(
        refusedLastHour.reduce((sum, { count }) => sum + count, 0),
        'red',
      ),
      refusedLastHour.map(({ reason, count }) => `${reason} ${count}`).join(', '),
    ]),
  )
}

function targetTable(targets: readonly ListedTarget[], isRunning: boolean, now: number): string {
  // Only of ordered targets.
  const anyWait = targets.some(({ waiting, held }) => waiting > 0 || held > 0)
  const table = shownTable(
    [
      'TARGET',
      'STATE',
      'DUE',
      'OLDEST',
      'BACKOFF',
      ...(anyWait ? ['WAITING', 'HELD'] : []),
      'DEAD',
      'PER MIN',
      'BREAKER',
      'LAST ERROR',
    ],
    targets.map((each) => [
      each.target,
      stateCell(each, isRunning),
      each.due,
      each.oldestDueAt === null ? '' : duration(now - each.oldestDueAt),
      countCell(each.backoff, 'yellow'),
      ...(anyWait ? [each.waiting, countCell(each.held, 'red')] : []),
      countCell(each.dead, 'red'),
      each.deliveredPerMinute,
      breakerCell(each, now),
      each.lastError === null ? '' : `${ago(each.lastError.at, now)}: ${each.lastError.error}`,
    ]),
  )
  const orphaned = targets.filter(({ configured, pending, dead }) => !configured && pending + dead > 0)
  const left = orphaned.map((each) => `${each.target} ${orphanedText(each)}\n  ${orphanedAdvice(each.target)}\n`)
  return `${table}${holdLines(targets)}${left.join('')}`
}

/** What held deliveries wait for, and the command that shows it. */
function holdLines(targets: readonly ListedTarget[]): string {
  const lines = targets
    .filter(({ held }) => held > 0)
    .map(({ target, held, heldCalls }) => {
      const what = `${target}: ${counted(held, 'delivery')} of ${counted(heldCalls, 'call')} held behind dead ones`
      return `${styled('red', oneLine(what))}\n  deliveries list --holding --target ${oneLine(target)}\n`
    })
  return lines.length === 0 ? '' : `\n${lines.join('')}`
}

/** Which delivery last probed each target whose circuit is open, and how that ended; empty where none is open. */
function probeTable(targets: readonly ListedTarget[], now: number): string {
  const open = targets.flatMap(({ target, breaker, lastProbe }) =>
    breaker === null ? [] : [{ target, breaker, ...(lastProbe ?? NO_PROBE) }],
  )
  if (open.length === 0) return ''
  const table = shownTable(
    ['OPEN CIRCUIT', 'NEXT PROBE', 'LAST PROBE', 'MADE', 'RESULT'],
    open.map(({ target, breaker, deliveryId, startedAt, error }) => [
      target,
      nextProbe(breaker, now),
      deliveryId === null ? 'none so far' : `delivery ${deliveryId}`,
      startedAt === null ? '' : ago(startedAt, now),
      error ?? '',
    ]),
  )
  return `\n${table}`
}

const NO_PROBE = { deliveryId: null, startedAt: null, error: null }
