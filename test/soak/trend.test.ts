import t from 'tap'
import type { Sample } from './sample.ts'
import { growth, type Point, settled } from './trend.ts'
import { judgeSizes } from './verdicts.ts'

const MB = 1024 ** 2
const EVERY = 5
/** A wave, in seconds. */
const PERIOD = 60
const PER_SECOND = 500

/** The samples of half an hour, by what each is at that moment (seconds). */
function samples(change: (at: number) => Partial<Sample> = () => ({})): Sample[] {
  return Array.from({ length: 360 }, (_, i) => {
    const at = (i + 1) * EVERY
    const wave = at % PERIOD < PERIOD / 2 ? 1 : 0
    return {
      at,
      acknowledged: at * PER_SECOND,
      // While it starts, and with each wave.
      residentBytes: 120 * MB + Math.min(60, at / 5) * MB + wave * 30 * MB,
      heapBytes: 40 * MB,
      launcherBytes: 42 * MB,
      files: 20,
      sockets: 60 + wave * 32,
      outboxBytes: 200 * MB + wave * 50 * MB + at * PER_SECOND * 200,
      walBytes: 8 * MB,
      loopP99Ms: 12,
      pending: {},
      due: {},
      ...change(at),
    }
  })
}

const broken = (change?: (at: number) => Partial<Sample>, tellsTrends = true) =>
  judgeSizes(samples(change), { period: PERIOD, tellsTrends, mostSockets: 100 })
    .filter(({ isKept }) => !isKept)
    .map(({ promise }) => promise)

t.test('a relay that starts, and then breathes with its load, is not taken for one that grows', async (t) => {
  t.same(broken(), [])
})

t.test('what grows is found, if it is sixty bytes an event', async (t) => {
  const at = (bytes: number) => (at: number) => ({ residentBytes: 180 * MB + at * PER_SECOND * bytes })
  t.same(broken(at(60)), ['memory does not grow'])
  t.same(broken(at(60), false), [], 'not in a short run')
  t.same(
    broken((at) => ({ launcherBytes: 42 * MB + at * 20_000 })),
    ["the launcher's memory does not grow"],
  )
  t.same(
    broken((at) => ({ files: 60 + at / 100 })),
    ['no files are left open'],
  )
  t.same(
    broken((at) => ({ outboxBytes: at * PER_SECOND * 3_300 })),
    ['the outbox grows by the keys of events only'],
  )
})

t.test('what is too large once is found', async (t) => {
  t.same(
    broken((at) => ({ sockets: at / 17 })),
    ['it has no more sockets than there are connections to have'],
  )
  t.same(
    broken((at) => ({ walBytes: at === 900 ? 64 * MB : 0 })),
    ['the write-ahead log is bounded'],
  )
  t.same(
    broken((at) => ({ residentBytes: at === 900 ? 600 * MB : 180 * MB }), false),
    ['memory is bounded'],
  )
})

t.test('growth is that of the line that fits best, over whole waves', async (t) => {
  const line = [0, 10, 20, 30].map((at): Point => [at, 5 + at / 10])
  t.equal(growth(line).toFixed(6), '3.000000')
  t.equal(growth([[0, 1]]), 0)
  t.equal(growth([]), 0)
  const waves = Array.from({ length: 301 }, (_, at): Point => [at, 0])
  t.equal(settled(waves, 60)[0]![0], 120)
  t.equal(settled(waves, 70)[0]![0], 160)
  t.equal(settled(waves, 500)[0]![0], 100, 'where there is no whole one, the last two thirds')
})
