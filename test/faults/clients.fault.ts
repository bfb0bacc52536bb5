import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { sink } from '../daemon/operator-commands.ts'
import { type RelayProcess, startRelay, writeConfig } from '../daemon/relay-process.ts'
import { bodyOf, SECRET, send } from '../daemon/ultravox-sender.ts'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { SIGNATURE, TIMESTAMP } from '../sources/signed-request.ts'
import { memoryOf } from './memory.ts'

const IDLE = Number(process.env.IDLE ?? 5_000)
const SLOW = Number(process.env.SLOW ?? 500)
const GENUINE = Number(process.env.GENUINE ?? 100)
/** What a genuine request may take meanwhile, and the relay have in memory. */
const MOST_MS = 2_000
const MOST_MB = 600

const HEAD = 'POST /webhooks/ultravox HTTP/1.1\r\nHost: relay.test\r\n'
/** Looks as if it were signed, so that its body has to be read. */
const SIGNED = `${HEAD}${TIMESTAMP}: ${new Date().toISOString()}\r\n${SIGNATURE}: ${'f'.repeat(64)}\r\n`

async function running(t: Test): Promise<RelayProcess & { port: number }> {
  const config = {
    sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
    targets: { archive: { ...sink, paused: true } },
    routes: [{ events: ['*'], to: ['archive'] }],
  }
  const relay = await startRelay(t, writeConfig(scratch(t), config))
  return { ...relay, port: Number(new URL(relay.origin).port) }
}

/** Connections that a hostile client holds; each begins as `begin` says. */
function crowd(t: Test, port: number) {
  const sockets = new Set<Socket>()
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
  })
  const state = { opened: 0, closed: 0 }
  const sent = () => [...sockets].every(({ writableLength }) => writableLength === 0)
  function open(begin: (socket: Socket) => void, from: string): Promise<void> {
    const socket = connect({ port, host: '127.0.0.1', localAddress: from })
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', () => {})
    socket.on('close', () => {
      state.closed++
      sockets.delete(socket)
    })
    return new Promise((resolve) => {
      socket.once('close', resolve)
      socket.once('connect', () => {
        state.opened++
        begin(socket)
        resolve()
      })
    })
  }
  return {
    state,
    /** Waits until the other side has all that was written. */
    sent: () => eventually(sent, 'all is sent', 60_000),
    async open(count: number, begin: (socket: Socket) => void, from = (_n: number) => '127.0.0.1') {
      // No more at once than a listener lets wait.
      for (let n = 0; n < count; n += 100)
        await Promise.all(Array.from({ length: Math.min(100, count - n) }, (_, i) => open(begin, from(n + i))))
    },
  }
}

/** Sends genuine events one after the other, each on a connection of its own, and gives what they took at most. */
async function genuine(t: Test, relay: RelayProcess, what: string, count = GENUINE): Promise<void> {
  const took: number[] = []
  const statuses: Record<string, number> = {}
  for (let n = 0; n < count; n++) {
    const startedAt = performance.now()
    const { status } = await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended'), {
      headers: { connection: 'close' },
    })
    took.push(performance.now() - startedAt)
    statuses[status] = (statuses[status] ?? 0) + 1
  }
  took.sort((a, b) => a - b)
  const { now, most } = memoryOf(relay.process.pid!)
  const times = `p50 ${took[count >> 1]!.toFixed(1)} ms, longest ${took.at(-1)!.toFixed(1)} ms`
  t.comment(
    `${count} genuine requests beside ${what}: ${JSON.stringify(statuses)}, ${times}; memory ${now} MB, ${most} MB at most`,
  )
  t.same(statuses, { 204: count }, what)
  t.ok(took.at(-1)! < MOST_MS, `${what}: in time`)
  t.ok(most < MOST_MB, `${what}: in bounded memory`)
}

/** Writes a piece each second for as long as the connection is there. */
function drip(socket: Socket, piece: string): void {
  const dripping = setInterval(() => socket.write(piece), 1_000)
  socket.on('close', () => clearInterval(dripping))
}

t.test('a genuine request is taken in time whatever hostile clients do', { timeout: 280_000 }, async (t) => {
  const relay = await running(t)
  await genuine(t, relay, 'nobody')

  const idle = crowd(t, relay.port)
  await idle.open(IDLE, () => {})
  await genuine(t, relay, `${IDLE} idle connections`)

  const slow = crowd(t, relay.port)
  await slow.open(SLOW, (socket) => {
    socket.write(HEAD)
    drip(socket, 'x: y\r\n')
  })
  await slow.open(SLOW, (socket) => {
    socket.write(`${SIGNED}Content-Length: 100000\r\n\r\n`)
    drip(socket, 'x'.repeat(100))
  })
  await slow.open(SLOW, (socket) => {
    socket.write(`${SIGNED}Transfer-Encoding: chunked\r\n\r\n`)
    drip(socket, '1\r\nx\r\n')
  })
  await genuine(t, relay, `${3 * SLOW} slow headers, bodies and chunks more`)

  const flood = crowd(t, relay.port)
  let requests = 0
  await flood.open(20, (socket) => {
    const more = () => {
      while (!socket.destroyed && socket.write(`${HEAD}Content-Length: 2\r\n\r\n{}`.repeat(50))) requests += 50
    }
    socket.on('drain', more)
    more()
  })
  await genuine(t, relay, '20 connections that pipeline without end')
  t.comment(`${requests} pipelined requests were written`)

  const garbage = crowd(t, relay.port)
  let isOver = false
  const babbling = (async () => {
    while (!isOver) {
      await garbage.open(50, (socket) => socket.end('\x16\x03\x01 no HTTP\r\n\r\n'))
      await sleep(5)
    }
  })()
  await genuine(t, relay, 'connections that come one after the other and babble')
  isOver = true
  await babbling
  t.comment(`${garbage.state.opened} connections babbled`)

  await eventually(
    () => idle.state.closed === IDLE && slow.state.closed === 3 * SLOW,
    'what asks nothing is closed',
    60_000,
  )
  await genuine(t, relay, 'nobody any more')
  t.equal((await relay.end('SIGTERM')).code, 0)
})

const BROKEN_OFF = Number(process.env.BROKEN_OFF ?? 300)
const AT_ONCE = 2_000

t.test('what is sent at once on connections that break off leaves nothing behind', { timeout: 120_000 }, async (t) => {
  const relay = await running(t)
  const burst = 'GET /healthz HTTP/1.1\r\nHost: relay.test\r\n\r\n'.repeat(AT_ONCE)
  for (let count = 0; count < BROKEN_OFF; count++) {
    const socket = connect(relay.port, '127.0.0.1')
    socket.on('error', () => {})
    const closed = new Promise((resolve) => socket.once('close', resolve))
    socket.write(burst)
    // It is in the middle of them then, wherever that is.
    setTimeout(() => socket.resetAndDestroy(), 3)
    await closed
  }
  await genuine(t, relay, `${BROKEN_OFF} connections with ${AT_ONCE} requests each, broken off`, 20)
  const { now } = memoryOf(relay.process.pid!)
  t.ok(now < 400, `${now} MB are kept`)
})

const MB = 1024 * 1024
const PIECE = Buffer.alloc(MB, 'x')
const UPLOADS = Number(process.env.UPLOADS ?? 200)
/** The clients are a process with the genuine sender: what they send at once, it has to wait for. */
const REOPEN_MS = 500

/** Sends what it may as fast as it is read, but for the last byte. */
function allButOne(length: number): (socket: Socket) => void {
  return (socket) => {
    socket.write(`${SIGNED}Content-Length: ${length}\r\n\r\n`)
    let left = length - 1
    const more = () => {
      while (left > 0 && !socket.destroyed) {
        const piece = PIECE.subarray(0, Math.min(left, MB))
        left -= piece.length
        if (!socket.write(piece)) return
      }
    }
    socket.on('drain', more)
    more()
  }
}

/** Opens one again for each that is closed, until it is called. */
async function again(t: Test, port: number, count: number, begin: (socket: Socket) => void, from: string) {
  const clients = crowd(t, port)
  let isOver = false
  const reopen = async (socket: Socket) => {
    begin(socket)
    socket.once('close', () => {
      if (!isOver) setTimeout(() => void clients.open(1, reopen, () => from), REOPEN_MS)
    })
  }
  await clients.open(count, reopen, () => from)
  return () => {
    isOver = true
    return clients.state
  }
}

t.test(
  'a genuine event, small or large, is taken in time whatever bodies others send',
  { timeout: 280_000 },
  async (t) => {
    const relay = await running(t)
    const { port } = relay
    const large = async (what: string) => {
      for (let n = 0; n < 5; n++) {
        const startedAt = performance.now()
        const body = Buffer.concat([bodyOf('call.ended'), Buffer.alloc(4 * MB, ' ')])
        t.equal((await send(`${relay.origin}/webhooks/ultravox`, body)).status, 204, `${what}: a large one`)
        const tookMs = performance.now() - startedAt
        t.ok(tookMs < MOST_MS, `${what}: a large one in time, ${tookMs.toFixed(0)} ms`)
      }
    }
    // Before anything genuine has come, so that the sender is a stranger, too.
    const announced = (socket: Socket) => socket.write(`${SIGNED}Content-Length: ${5 * MB}\r\n\r\nx`)
    const stopAnnounced = await again(t, port, 60, announced, '127.0.0.2')
    await genuine(t, relay, '60 bodies of 5 MB that were only announced, again and again')
    await large('announced')
    t.comment(`${stopAnnounced().opened} were announced`)

    const stopOne = await again(t, port, 20, allButOne(5 * MB), '127.0.0.2')
    await genuine(t, relay, '20 bodies of 5 MB but for a byte, from one address, again and again')
    await large('from one address')
    t.comment(`${stopOne().opened} were begun from one address`)

    const spread = crowd(t, port)
    await spread.open(UPLOADS, allButOne(5 * MB), (n) => `127.0.1.${n % 250}`)
    await spread.sent()
    await genuine(t, relay, `${UPLOADS} bodies of 5 MB but for a byte, from as many addresses`)
    await large('from many addresses')

    const trusted = crowd(t, port)
    await trusted.open(UPLOADS, allButOne(5 * MB))
    await trusted.sent()
    await genuine(t, relay, `${UPLOADS} more of them from a trusted address, its own`)
    await large('from its own address')

    const crumbs = crowd(t, port)
    const crumb = Buffer.from('1\r\nx\r\n'.repeat(60_000))
    await crumbs.open(
      30,
      (socket) => void socket.write(Buffer.concat([Buffer.from(`${SIGNED}Transfer-Encoding: chunked\r\n\r\n`), crumb])),
      () => '127.0.0.2',
    )
    await genuine(t, relay, '30 bodies in 60,000 chunks of a byte each')
    await large('in crumbs')
    t.equal((await relay.end('SIGTERM')).code, 0)
    const warnings = relay.log.filter(({ level }) => Number(level) >= 40).length
    t.ok(warnings < 500, `${warnings} lines at warn or above`)
  },
)
