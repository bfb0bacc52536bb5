import type { Sample } from './sample.ts'
import { growth, median, type Point, settled } from './trend.ts'

export interface Verdict {
  readonly promise: string
  readonly isKept: boolean
  readonly figures: string
}

const MB = 1024 ** 2

/**
 * What resident memory may differ by without a leak: V8 and malloc keep pages or give them back as they like. In runs of five
 * minutes the line fell by 26 MB for no other reason. Over half an hour at 350 events a second, this is 80 bytes an event.
 */
const MEMORY_NOISE_BYTES = 32 * MB
/** The launcher does less, and its heap is bounded. */
const LAUNCHER_NOISE_BYTES = 16 * MB
/** Above it, something is wrong, whatever the trend. */
const MEMORY_MOST_BYTES = 512 * MB
/** One more or less is open just then: a connection of SQLite's to its files has some. */
const FILES_NOISE = 4
/** Its log is cut to 16 MB at each checkpoint; between two of them, one that is held up may make it twice that. */
const WAL_MOST_BYTES = 48 * MB
/** What stays of an event that is pruned, to know it again: a row of `events` and its places in the indexes. */
const KEY_BYTES = 500
/** What the outbox may differ by besides, as a share of its size: each wave of the target leaves another backlog. */
const OUTBOX_NOISE = 0.25

/**
 * Whether the relay stayed as large as it was, by samples of a soak whose load comes in waves of so many seconds. A short
 * one tells nothing of trends, so those are only shown then.
 */
export function judgeSizes(
  samples: readonly Sample[],
  { period, tellsTrends, mostSockets }: { period: number; tellsTrends: boolean; mostSockets: number },
): Verdict[] {
  const of = (value: (sample: Sample) => number) =>
    settled(
      samples.map((each): Point => [each.at, value(each)]),
      period,
    )
  const memory = of(({ residentBytes }) => residentBytes)
  const launcher = of(({ launcherBytes }) => launcherBytes)
  const files = of(({ files }) => files)
  const outbox = of(({ outboxBytes }) => outboxBytes)
  const events = samples.at(-1)!.acknowledged - samples.find(({ at }) => at >= memory[0]![0])!.acknowledged
  const mb = (bytes: number) => (bytes / MB).toFixed(1)
  const most = Math.max(...samples.map(({ residentBytes }) => residentBytes))
  const sockets = Math.max(...samples.map(({ sockets }) => sockets))
  const wal = Math.max(...samples.map(({ walBytes }) => walBytes))
  const outboxBound = events * KEY_BYTES + OUTBOX_NOISE * median(outbox.map(([, value]) => value))
  const span = `over the last ${Math.round(memory.at(-1)![0] - memory[0]![0])} s and ${events} events`

  const trend = (promise: string, points: readonly Point[], bound: number, shown: (value: number) => string) => {
    const grown = growth(points)
    const figures = `${shown(grown)} (bound ${shown(bound)}) ${span}, median ${shown(median(points.map(([, value]) => value)))}`
    return {
      promise,
      isKept: !tellsTrends || grown <= bound,
      figures: tellsTrends ? figures : `${figures}; not judged`,
    }
  }
  const shownBytes = (bytes: number) => `${mb(bytes)} MB`
  return [
    trend('memory does not grow', memory, MEMORY_NOISE_BYTES, shownBytes),
    trend("the launcher's memory does not grow", launcher, LAUNCHER_NOISE_BYTES, shownBytes),
    { promise: 'memory is bounded', isKept: most <= MEMORY_MOST_BYTES, figures: `at most ${mb(most)} MB` },
    trend('no files are left open', files, FILES_NOISE, (value) => value.toFixed(1)),
    {
      promise: 'it has no more sockets than there are connections to have',
      isKept: sockets <= mostSockets,
      figures: `at most ${sockets} (bound ${mostSockets})`,
    },
    trend('the outbox grows by the keys of events only', outbox, outboxBound, shownBytes),
    { promise: 'the write-ahead log is bounded', isKept: wal <= WAL_MOST_BYTES, figures: `at most ${mb(wal)} MB` },
  ]
}
