import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { DescriptorSink, type Dropped } from '../src/descriptor-sink.ts'
import { eventually } from './eventually.ts'
import { scratch } from './scratch.ts'

const { O_RDONLY, O_WRONLY, O_NONBLOCK } = constants

/** A sink that writes to a FIFO, and what reads it. */
function setUp(t: Test) {
  const fifo = join(scratch(t), 'fifo')
  execFileSync('mkfifo', [fifo])
  const read = () => openSync(fifo, O_RDONLY | O_NONBLOCK)
  const reader = read()
  const fd = openSync(fifo, O_WRONLY)
  t.teardown(() => closeSync(fd))
  const recovered: (Dropped & { error: string | null })[] = []
  const sink = new DescriptorSink({
    fd,
    written() {},
    recovered: (dropped, error) => recovered.push({ ...dropped, error }),
  })
  return { sink, recovered, reader, read }
}

/** Waits until nothing waits to be written any more. The sink itself keeps no process alive for that. */
async function flushed(sink: DescriptorSink): Promise<void> {
  let isDone = false
  sink.flush(() => {
    isDone = true
  })
  await eventually(() => isDone, 'it is flushed')
}

/** What is in the pipe now. */
function readAll(fd: number): string {
  const buffer = Buffer.alloc(1024 * 1024)
  let text = ''
  for (;;) {
    try {
      const read = readSync(fd, buffer)
      if (read === 0) return text
      text += buffer.toString('utf8', 0, read)
    } catch {
      return text
    }
  }
}

t.test('lines that cannot be written are dropped and counted, and reported when a later one can', async (t) => {
  const { sink, recovered, reader, read } = setUp(t)
  sink.write('one\n')
  await flushed(sink)
  t.equal(readAll(reader), 'one\n')
  closeSync(reader)
  sink.write('two\nthree\n')
  await flushed(sink)
  t.equal(sink.dropped, 2)
  sink.write('four\n')
  t.equal(sink.dropped, 3, 'what follows at once is not tried')
  const again = read()
  t.teardown(() => closeSync(again))
  let sent = 0
  await eventually(() => {
    sink.write(`${sent++}\n`)
    return recovered.length > 0
  }, 'writing works again')
  t.match(recovered, [{ lines: sink.dropped, error: 'EPIPE' }])
  t.match(readAll(again), /^\d+\n/)
})

t.test('a line that was cut off by an error does not run into the next one', async (t) => {
  const { sink, recovered, reader, read } = setUp(t)
  // More than the pipe holds: some of it is written, and then there is no reader.
  sink.write(`${'x'.repeat(200_000)}\n`)
  await eventually(() => readAll(reader).length > 0, 'it is half written')
  closeSync(reader)
  await flushed(sink)
  const again = read()
  t.teardown(() => closeSync(again))
  await eventually(() => {
    sink.write('next\n')
    return recovered.length > 0
  }, 'writing works again')
  t.match(readAll(again), /^x*\nnext\n/)
})

t.test('what there is no room for is dropped, and nothing is lost of what there was room for', async (t) => {
  const { sink, recovered, reader } = setUp(t)
  t.teardown(() => closeSync(reader))
  const line = `${'x'.repeat(999_999)}\n`
  for (let n = 0; n < 30; n++) sink.write(line)
  t.ok(sink.dropped > 0 && sink.dropped < 20, `${sink.dropped} dropped`)
  let read = 0
  await eventually(() => {
    read += readAll(reader).length
    return recovered.length > 0
  }, 'all of the rest is written')
  t.equal(read, (30 - sink.dropped) * line.length)
  t.match(recovered, [{ lines: sink.dropped, error: null }])
})

t.test('the last lines of a process are written at once, and a full pipe does not hold it up', (t) => {
  const { sink, reader } = setUp(t)
  t.teardown(() => closeSync(reader))
  for (let n = 0; n < 100; n++) sink.write(`${'x'.repeat(9_999)}\n`)
  sink.writeLast()
  t.ok(readAll(reader).length > 0)
  t.end()
})
