import t, { type Test } from 'tap'
import { commandsIn, type Row, sources } from '../daemon/operator-commands.ts'
import { startRelay, writeConfig } from '../daemon/relay-process.ts'
import { bodyOf, send } from '../daemon/ultravox-sender.ts'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'

const MANY = 600

/**
 * A service of several targets, one at each path. Each request waits until the test answers it; but those at `/many` are answered
 * at once.
 */
async function service(t: Test) {
  const waiting: { readonly path: string; readonly event: string; readonly end: (status: number) => void }[] = []
  const received: string[] = []
  const inFlight = new Map<string, number>()
  let mostInFlight = 0
  const { origin } = await httpServer(t, (response, { url, body }) => {
    const { event, call } = JSON.parse(body.toString())
    const key = `${url} ${call.callId}`
    received.push(`${url} ${event}`)
    inFlight.set(key, (inFlight.get(key) ?? 0) + 1)
    mostInFlight = Math.max(mostInFlight, inFlight.get(key)!)
    const end = (status: number) => {
      inFlight.set(key, inFlight.get(key)! - 1)
      response.writeHead(status, status === 503 ? { 'retry-after': '25' } : {}).end()
    }
    if (url === '/many') end(204)
    else waiting.push({ path: url, event, end })
  })
  const find = (path: string, event: string) => waiting.findIndex((one) => one.path === path && one.event === event)
  return {
    origin,
    /** Events in the order in which they have come to a path. */
    received: (path: string) => received.filter((one) => one.startsWith(`${path} `)).map((one) => one.split(' ')[1]),
    /** Waits for a request and answers it. */
    async answer(path: string, event: string, status: number): Promise<void> {
      await eventually(() => find(path, event) >= 0, `${event} at ${path}`)
      waiting.splice(find(path, event), 1)[0]!.end(status)
    },
    arrives: (path: string, event: string) => eventually(() => find(path, event) >= 0, `${event} at ${path}`),
    mostInFlight: () => mostInFlight,
  }
}

t.setTimeout(120_000)

t.test('operators and reloads change deliveries while they are sent', async (t) => {
  const directory = scratch(t)
  const { run, json, deliveries } = commandsIn(directory)
  const crm = await service(t)
  const names = ['cancel', 'many', 'retry', 'overtake', 'hold', 'unhold', 'replay']
  const configure = (given: Record<string, object>) => {
    const target = (name: string) => ({ type: 'http', url: `${crm.origin}/${name}`, timeout: '60s', ...given[name] })
    const routes = names.map((name) => ({ events: ['*'], when: `$split(call.callId, '.')[0] = '${name}'`, to: [name] }))
    const targets = Object.fromEntries(names.map((name) => [name, target(name)]))
    return writeConfig(directory, { sources, targets, routes })
  }
  const ordered = { ordered: 'call' }
  const held = { ordered: 'call', onDead: 'hold' }
  const before = {
    cancel: ordered,
    retry: { retry: { maxAttempts: 2, initialDelay: '10ms', maxDelay: '10ms' } },
    overtake: ordered,
    hold: held,
    unhold: held,
  }
  let relay = await startRelay(t, configure(before))
  const post = async (target: string, ...events: string[]) => {
    for (const event of events) {
      t.equal((await send(`${relay.origin}/webhooks/ultravox`, bodyOf(`call.${event}`, target))).status, 204)
    }
  }
  const one = async (target: string, event = 'call.started') =>
    (await deliveries(`--target ${target} --event ${event}`))[0]!
  const act = async (what: string, target: string) => {
    const { code, stdout } = await run(`deliveries ${what} ${(await one(target)).deliveryId} --yes`)
    t.equal(code, 0)
    return stdout
  }

  await t.test('what is cancelled while it is sent is on record as delivered, and the next waits for it', async (t) => {
    await post('cancel', 'started', 'ended')
    await crm.arrives('/cancel', 'call.started')
    await act('cancel', 'cancel')
    await post('retry', 'ended')
    await crm.answer('/retry', 'call.ended', 200)
    t.same(crm.received('/cancel'), ['call.started'])
    await crm.answer('/cancel', 'call.started', 204)
    await crm.answer('/cancel', 'call.ended', 204)
    const { deliveryId } = await one('cancel')
    t.match(await one('cancel'), { state: 'cancelled', attempts: 1, lastStatus: 204 })
    const stated = /cancelled( since \S+)?, but delivered at \d{4}-\S+Z/
    t.match((await run(`deliveries show ${deliveryId}`)).stdout, stated)
    t.match((await run('calls show cancel')).stdout, stated)
    t.match((await run('tail --lines 50')).stdout, /attempt +delivered +call.started cancel to cancel/)
    const changed = () => relay.log.find(({ msg }) => msg === 'delivery changed during its attempt')
    await eventually(() => changed() !== undefined, 'the line in the log')
    t.match(changed(), { deliveryId, settled: 'cancelled', outcome: 'delivered', status: 204 })
  })

  await t.test('every attempt is on record, however many are cancelled while they are sent', async (t) => {
    const url = `${relay.origin}/webhooks/ultravox`
    const sent = Array.from({ length: MANY }, (_, n) => send(url, bodyOf('call.ended', `many.${n}`)))
    await eventually(() => crm.received('/many').length > MANY / 10, 'the first')
    t.equal((await run('deliveries cancel --target many --yes')).code, 0)
    await Promise.all(sent)
    t.equal((await run('deliveries cancel --target many --yes')).code, 0)
    let rows: Row[] = []
    await eventually(async () => {
      rows = await deliveries(`--target many --limit ${MANY}`)
      return rows.length === MANY && rows.every(({ state }) => state !== 'pending')
    }, 'the end')
    const attempts = async () =>
      (await deliveries(`--target many --limit ${MANY}`)).reduce((sum, row) => sum + Number(row.attempts), 0)
    await eventually(async () => (await attempts()) === crm.received('/many').length, 'every attempt')
    const cancelled = rows.filter(({ state }) => state === 'cancelled')
    t.ok(cancelled.length > 0)
    t.comment(
      `${cancelled.length} cancelled, of which ${cancelled.filter((row) => row.attempts === 1).length} were sent`,
    )
  })

  await t.test('a retry during the last attempt leaves the whole budget', async (t) => {
    await post('retry', 'started')
    await crm.answer('/retry', 'call.started', 500)
    await crm.arrives('/retry', 'call.started')
    t.match(await act('retry', 'retry'), /queued for retry/)
    await crm.answer('/retry', 'call.started', 500)
    await crm.answer('/retry', 'call.started', 500)
    await crm.answer('/retry', 'call.started', 200)
    await eventually(async () => (await one('retry')).state === 'delivered', 'delivered')
    t.match(await one('retry'), { attempts: 4 })
  })

  await t.test('an older delivery that is retried goes before a younger one in backoff', async (t) => {
    await post('overtake', 'started', 'joined')
    await crm.answer('/overtake', 'call.started', 400)
    await crm.answer('/overtake', 'call.joined', 503)
    await eventually(async () => (await one('overtake', 'call.joined')).attempts === 1, 'the backoff')
    await act('retry', 'overtake')
    await crm.answer('/overtake', 'call.started', 200)
    t.same(crm.received('/overtake'), ['call.started', 'call.joined', 'call.started'])
    await eventually(async () => (await one('overtake')).state === 'delivered', 'delivered')
    const { state, dueAt } = await one('overtake', 'call.joined')
    t.equal(state, 'pending')
    t.ok(Date.parse(String(dueAt)) > Date.now(), 'the younger one keeps its backoff')
  })

  await t.test('a reload lets go what dead deliveries no longer hold, and orders replays', async (t) => {
    const events = ['started', 'joined', 'ended']
    for (const name of ['hold', 'unhold']) {
      await post(name, ...events)
      await crm.answer(`/${name}`, 'call.started', 400)
    }
    await post('replay', ...events)
    for (const event of events) await crm.answer('/replay', `call.${event}`, 200)
    await eventually(async () => (await deliveries('--target replay --state delivered')).length === 3, 'delivered')
    await eventually(async () => (await deliveries('--state dead')).length === 2, 'dead')
    t.same(crm.received('/hold'), ['call.started'])

    configure({ ...before, hold: ordered, replay: ordered })
    t.equal((await run('reload')).code, 0)
    for (const event of events.slice(1)) await crm.answer('/hold', `call.${event}`, 200)
    t.match(await json('events replay --to replay --call replay --yes'), { replayed: 3 })
    for (const event of events) await crm.answer('/replay', `call.${event}`, 200)
    t.same(crm.received('/replay').slice(3), ['call.started', 'call.joined', 'call.ended'])
  })

  await t.test('a start lets go what is no longer held', async (t) => {
    t.same(crm.received('/unhold'), ['call.started'])
    await relay.end('SIGTERM')
    relay = await startRelay(t, configure({ ...before, unhold: {} }))
    for (const event of ['call.joined', 'call.ended']) await crm.answer('/unhold', event, 200)
    await post('unhold', 'billed')
    await crm.answer('/unhold', 'call.billed', 200)
    t.equal((await deliveries('--target unhold --state dead')).length, 1)
  })
})
