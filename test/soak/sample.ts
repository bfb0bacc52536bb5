import { statSync } from 'node:fs'
import { join } from 'node:path'
import { parseExposition } from '../admin/exposition.ts'
import type { LongLivedRelay } from './long-lived-relay.ts'
import { childrenOf, sizeOf } from './process-size.ts'

/** How the relay is at one moment. `at` in seconds from the beginning of the soak. */
export interface Sample {
  readonly at: number
  readonly acknowledged: number
  readonly residentBytes: number
  readonly heapBytes: number
  /** Of the process that starts hooks. */
  readonly launcherBytes: number
  /** File descriptors that are no sockets. */
  readonly files: number
  readonly sockets: number
  readonly outboxBytes: number
  readonly walBytes: number
  /** Since the sample before. */
  readonly loopP99Ms: number
  /** Deliveries that are not finished, by target. */
  readonly pending: Readonly<Record<string, number>>
  /** Of them, those that are due. */
  readonly due: Readonly<Record<string, number>>
}

/** Measures a relay whose outbox is `relay.db` in the directory. */
export async function takeSample(
  { pid, admin }: LongLivedRelay,
  directory: string,
  { at, acknowledged }: Pick<Sample, 'at' | 'acknowledged'>,
): Promise<Sample> {
  const { samples, value } = parseExposition((await admin.get('/metrics')).text)
  const size = sizeOf(pid)
  const byTarget = (name: string) => {
    const those = samples.filter((each) => each.name === `ultravox_relay_deliveries_${name}`)
    return Object.fromEntries(those.map(({ labels, value }) => [labels.target!, value]))
  }
  return {
    at,
    acknowledged,
    ...size,
    heapBytes: value('nodejs_heap_size_used_bytes')!,
    launcherBytes: childrenOf(pid).reduce((sum, child) => sum + sizeOf(child).residentBytes, 0),
    outboxBytes: statSync(join(directory, 'relay.db')).size,
    walBytes: statSync(join(directory, 'relay.db-wal')).size,
    loopP99Ms: value('nodejs_eventloop_lag_p99_seconds')! * 1_000,
    pending: byTarget('pending'),
    due: byTarget('due'),
  }
}

/** All samples as a table, a line each, and one line above. */
export function* tableOf(samples: readonly Sample[]): Generator<string> {
  const mb = (bytes: number) => (bytes / 1024 ** 2).toFixed(1)
  const targets = Object.keys(samples[0]?.pending ?? {})
  const head = [
    's',
    'events/s',
    'RSS MB',
    'heap MB',
    'launcher MB',
    'files',
    'sockets',
    'outbox MB',
    'WAL MB',
    'loop p99 ms',
  ]
  const columns = [...head, ...targets.map((target) => `due ${target}`)]
  const line = (cells: readonly string[]) => cells.map((cell, i) => cell.padStart(columns[i]!.length)).join('  ')
  yield line(columns)
  let [at, acknowledged] = [0, samples[0]?.acknowledged ?? 0]
  for (const each of samples) {
    const rate = each.at > at ? (each.acknowledged - acknowledged) / (each.at - at) : 0
    ;[at, acknowledged] = [each.at, each.acknowledged]
    const sizes = [each.residentBytes, each.heapBytes, each.launcherBytes].map(mb)
    const stored = [each.outboxBytes, each.walBytes].map(mb)
    const due = targets.map((target) => String(each.due[target] ?? 0))
    yield line([
      at.toFixed(0),
      rate.toFixed(0),
      ...sizes,
      ...[each.files, each.sockets].map(String),
      ...stored,
      each.loopP99Ms.toFixed(1),
      ...due,
    ])
  }
}
