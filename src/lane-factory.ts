import { createHash } from 'node:crypto'
import type { Config, TargetConfig } from './config/config.ts'
import { targetHash } from './config/target-hash.ts'
import type { Capacities } from './delivery/capacity.ts'
import { Lane, type LaneOptions } from './delivery/lane.ts'
import type { ConfiguredLane } from './delivery/lanes.ts'
import type { Attachments } from './domain/attachments.ts'
import { longestDelayMs } from './domain/backoff.ts'
import type { Clock } from './domain/clock.ts'
import { createTarget } from './target-factory.ts'
import { withStartLimit } from './targets/interrupted-starts.ts'
import type { Launcher } from './targets/launcher.ts'
import { withVia } from './targets/via.ts'
import { type TracedDestination, tracedTarget } from './traced.ts'
import type { Tracing } from './tracing.ts'

/** What all lanes share. */
export interface LaneSurroundings extends Pick<LaneOptions, 'outbox' | 'clock' | 'random' | 'log'> {
  readonly capacities: Capacities
  /** The relay's own, see `domain/via.ts`. */
  readonly relayId: string
  readonly launcher: Launcher
  readonly attachments: Attachments
  readonly tracing: Tracing
  /** A redacted path of a target has led to nothing in this many events, of these names. */
  readonly unmatched: (target: string, path: string, count: number, events: readonly string[]) => void
  /** What a signature and a span say is the time, which is not what a lane waits by. */
  readonly wallClock: Clock
}

/** The lanes of a configuration; `running` names those that go on as they are. */
export function lanesOf(
  { targets, directory }: Config,
  running: (name: string) => Lane | undefined,
  surroundings: LaneSurroundings,
): ReadonlyMap<string, ConfiguredLane> {
  return new Map(
    Object.entries(targets).map(([name, target]) => {
      const { ordered, holdOnDead, paused, retry } = target
      const order = !ordered ? 'none' : holdOnDead ? 'hold' : 'release'
      const lane = running(name) ?? laneOf(name, target, directory, surroundings)
      return [name, { lane, order, paused, maxDelayMs: longestDelayMs(retry) }]
    }),
  )
}

function laneOf(
  name: string,
  target: TargetConfig,
  directory: string,
  { capacities, relayId, launcher, attachments, unmatched, tracing, wallClock, ...rest }: LaneSurroundings,
): Lane {
  const made = createTarget(name, target, directory, wallClock, launcher, attachments, (path, count, events) =>
    unmatched(name, path, count, events),
  )
  return new Lane({
    ...rest,
    target: withStartLimit(tracedTarget(withVia(made, relayId), tracedDestination(target), tracing, wallClock)),
    concurrency: target.concurrency,
    rateLimit: target.rateLimit,
    capacity: capacities.of(name),
    policy: target.retry,
    breaker: target.breaker,
    ordered: target.ordered,
    holdOnDead: target.holdOnDead,
    destination: destinationOf(target),
    configHash: () => targetHash(name, target, directory),
  })
}

function tracedDestination(target: TargetConfig): TracedDestination {
  switch (target.type) {
    case 'http':
      return { type: 'http', http: { method: target.method, url: target.url } }
    case 'slack':
      return { type: 'slack', http: { method: 'POST', url: target.webhookUrl } }
    case 'exec':
      return { type: 'exec', http: null }
  }
}

/** What tells two destinations apart; never shown. */
function destinationOf(target: TargetConfig): string {
  switch (target.type) {
    case 'http':
      return sha256(`${target.url.reveal()} ${target.socketPath ?? ''}`)
    case 'slack':
      return sha256(target.webhookUrl.reveal())
    case 'exec':
      return sha256(target.command.join('\0'))
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
