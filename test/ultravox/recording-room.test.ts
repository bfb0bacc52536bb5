import t from 'tap'
import { RecordingRoom } from '../../src/ultravox/recording-room.ts'

const MB = 1024 ** 2

/** A disk with so much room, and what is to be written on it. */
function disk(freeBytes: number) {
  let free = freeBytes
  const room = new RecordingRoom(async (bytes) => {
    if (bytes > free) throw new Error('no room')
  })
  async function* sound(bytes: number) {
    for (let rest = bytes; rest > 0; rest -= MB) yield new Uint8Array(Math.min(MB, rest))
  }
  const open = (announced: number, bytes: number) => room.fitting(announced, sound(bytes))
  const write = async (chunks: AsyncIterable<Uint8Array>) => {
    for await (const chunk of chunks) free -= chunk.length
  }
  return { open, write, free: () => free }
}

t.test('a recording of unannounced length is written as long as there is room', async (t) => {
  const { open, write, free } = disk(100 * MB)
  await write(open(0, 30 * MB))
  t.equal(free(), 70 * MB)
  await t.rejects(write(open(0, 1_000 * MB)), { message: 'no room' })
  t.ok(free() >= 0)
})

t.test('one that is longer than announced is no exception', async (t) => {
  const { open, write, free } = disk(20 * MB)
  await t.rejects(write(open(MB, 1_000 * MB)), { message: 'no room' })
  t.ok(free() >= 0)
})

t.test('what others are still to write is not free, until they end', async (t) => {
  const { open, write } = disk(100 * MB)
  const first = open(60 * MB, 60 * MB)
  await first.next()
  await t.rejects(write(open(60 * MB, 60 * MB)), { message: 'no room' })
  await write(open(20 * MB, 20 * MB))
  await first.return()
  await write(open(60 * MB, 60 * MB))
})
