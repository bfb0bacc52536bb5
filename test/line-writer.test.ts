import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { gatherLines } from '../src/line-writer.ts'
import { eventually } from './eventually.ts'

class SlowSink {
  readonly written: string[] = []
  #flushed: (() => void) | undefined

  write(text: string): void {
    this.written.push(text)
  }

  flush(done: () => void): void {
    this.#flushed = done
  }

  release(): void {
    this.#flushed?.()
  }
}

t.test('lines that come together are handed on together, in order, and once', async (t) => {
  const sink = new SlowSink()
  const writer = gatherLines(sink)
  for (const line of ['a\n', 'b\n', 'c\n']) writer.write(line)
  t.same(sink.written, [])
  await turn()
  t.same(sink.written, ['a\nb\nc\n'], 'at the end of the turn')
  for (const line of ['d\n', 'e\n']) writer.write(line)
  await eventually(() => sink.written.length === 2, 'and what comes soon after that, after a pause')
  t.same(sink.written, ['a\nb\nc\n', 'd\ne\n'])
})

t.test('what gets large is handed on at once', async (t) => {
  const sink = new SlowSink()
  const writer = gatherLines(sink)
  const line = `${'x'.repeat(1_000)}\n`
  for (let count = 0; count < 100; count++) writer.write(line)
  t.equal(sink.written.length, 1)
  writer.handOver()
  t.equal(sink.written.join(''), line.repeat(100))
})

t.test('a flush hands on what waits, and is over when the sink is', async (t) => {
  const sink = new SlowSink()
  const writer = gatherLines(sink)
  writer.write('last\n')
  let isOver = false
  const flushed = writer.flush().then(() => {
    isOver = true
  })
  t.same(sink.written, ['last\n'])
  await turn()
  t.notOk(isOver)
  sink.release()
  await flushed
  writer.handOver()
  t.equal(sink.written.length, 1, 'and not again')
})
