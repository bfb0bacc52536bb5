import t from 'tap'
import { SingleFlight } from '../../src/ultravox/single-flight.ts'

/** Work that ends when it is told to, or aborted. */
function work() {
  const runs: { signal: AbortSignal; end: (value: string) => void; fail: (error: Error) => void }[] = []
  const run = (signal: AbortSignal) =>
    new Promise<string>((resolve, reject) => {
      runs.push({ signal, end: resolve, fail: reject })
      signal.addEventListener('abort', () => reject(signal.reason))
    })
  return { runs, run }
}

t.test('several that want the same at once share it, whatever comes of it', async (t) => {
  const flight = new SingleFlight<string>()
  const { runs, run } = work()
  const { signal } = new AbortController()
  const asked = ['a', 'a', 'b'].map((key) => flight.run(key, signal, run))
  t.equal(runs.length, 2)
  runs[0]!.end('one')
  runs[1]!.end('other')
  t.same(await Promise.all(asked), ['one', 'one', 'other'])

  const failing = [flight.run('a', signal, run), flight.run('a', signal, run)]
  t.equal(runs.length, 3, 'what has ended is done anew')
  runs[2]!.fail(new Error('no'))
  t.same(await Promise.allSettled(failing).then((all) => all.map(({ status }) => status)), ['rejected', 'rejected'])
})

t.test('who leaves takes nobody along; when the last leaves, it is aborted', async (t) => {
  const flight = new SingleFlight<string>()
  const { runs, run } = work()
  const [first, second] = [new AbortController(), new AbortController()]
  const [one, two] = [flight.run('a', first.signal, run), flight.run('a', second.signal, run)]
  first.abort(new Error('stopped'))
  await t.rejects(one, { message: 'stopped' })
  t.notOk(runs[0]!.signal.aborted)
  second.abort(new Error('stopped too'))
  await t.rejects(two, { message: 'stopped too' })
  t.ok(runs[0]!.signal.aborted)

  const third = flight.run('a', new AbortController().signal, run)
  t.equal(runs.length, 2, 'what was aborted is not joined')
  runs[1]!.end('fresh')
  t.equal(await third, 'fresh')
  await t.rejects(flight.run('a', first.signal, run), { message: 'stopped' })
})
