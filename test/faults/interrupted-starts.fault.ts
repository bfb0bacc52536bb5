import { once } from 'node:events'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { INTERRUPTED_TOO_OFTEN } from '../../src/domain/interrupted-starts.ts'
import { commandsIn } from '../daemon/operator-commands.ts'
import { type RelayProcess, startRelay, writeConfig } from '../daemon/relay-process.ts'
import { bodyOf, SECRET, send } from '../daemon/ultravox-sender.ts'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'

const INNOCENTS = 20
const KILLER = 'call-4'

/** Kills the relay that has started it, in the middle of an attempt that others run beside. */
const HOOK = `
if [ "$RELAY_CALL_ID" = ${KILLER} ]; then
  while [ ! -s relay.pid ]; do sleep 0.01; done
  kill -KILL "$(cat relay.pid)"
  sleep 1
fi
sleep 0.2
`

/** The relay that runs now. */
class Supervisor {
  readonly relays: RelayProcess[] = []
  readonly #pidFile: string
  #killable: RelayProcess | undefined

  constructor(directory: string) {
    this.#pidFile = join(directory, 'relay.pid')
  }

  /** Starts the relay each time it has ended, until `isDone`. `send`: what is sent to the first one before it can be killed. */
  async run(start: () => Promise<RelayProcess>, send: (origin: string) => Promise<void>, isDone: IsDone) {
    for (;;) {
      const relay = await start()
      const end = once(relay.process, 'close')
      if (this.relays.push(relay) === 1) await send(relay.origin)
      this.#killable = relay
      writeFileSync(this.#pidFile, String(relay.process.pid))
      let hasEnded = false
      const noticed = end.then(() => {
        hasEnded = true
      })
      await eventually(async () => hasEnded || (await isDone(relay)), 'the relay ends, or all is finished', 100_000)
      if (!hasEnded) return
      await noticed
      this.#killable = undefined
      rmSync(this.#pidFile)
      if (this.relays.length > 12) throw new Error('the relay is killed again and again')
    }
  }

  async kill(): Promise<void> {
    await eventually(() => this.#killable !== undefined, 'a relay that runs')
    this.#killable!.process.kill('SIGKILL')
  }
}

type IsDone = (relay: RelayProcess) => Promise<boolean>

async function survives(t: Test, target: (supervisor: Supervisor) => Promise<Record<string, unknown>>) {
  const directory = scratch(t)
  const { run, deliveries } = commandsIn(directory)
  const supervisor = new Supervisor(directory)
  const { relays } = supervisor
  const alerts = await httpServer(t, (response) => response.end())
  const config = writeConfig(directory, {
    sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
    targets: {
      victim: { ...(await target(supervisor)), concurrency: 8 },
      pager: { type: 'http', url: alerts.origin },
    },
    routes: [
      { events: ['call.*'], to: ['victim'] },
      { events: ['relay.delivery.dead'], to: ['pager'] },
    ],
  })
  const sendAll = async (origin: string) => {
    const callIds = Array.from({ length: INNOCENTS + 1 }, (_, number) => `call-${number}`)
    const answers = callIds.map((callId) => send(`${origin}/webhooks/ultravox`, bodyOf('call.ended', callId)))
    for (const { status } of await Promise.all(answers)) t.equal(status, 204)
  }
  const isDone = async ({ log }: RelayProcess) =>
    log.some(({ state }) => state === 'dead') && (await deliveries('--state pending')).length === 0
  await supervisor.run(() => startRelay(t, config), sendAll, isDone)
  t.equal(relays.length, 7, 'the first end is not recorded, and five in a row are')
  t.equal((await deliveries('--state delivered --target victim')).length, INNOCENTS)
  const dead = await deliveries('--state dead')
  t.match(dead, [{ target: 'victim', callId: KILLER, attempts: 1, lastError: INTERRUPTED_TOO_OFTEN }])
  t.match(await run(`deliveries show ${dead[0]!.deliveryId}`), { code: 0, stdout: new RegExp(INTERRUPTED_TOO_OFTEN) })
  await eventually(() => alerts.received.length > 0, 'an alert')
  t.match(String(alerts.received[0]!.body), INTERRUPTED_TOO_OFTEN)
  const warned = relays.map(({ log }) => log.some(({ msg }) => msg === 'last run ended unexpectedly'))
  t.same(warned, [false, true, true, true, true, true, true])
  t.match(await relays.at(-1)!.end('SIGTERM'), { code: 0 })
}

t.jobs = 2

t.test('a hook that kills the relay ends dead, and what runs beside it is delivered', { timeout: 400_000 }, (t) =>
  survives(t, async () => ({ type: 'exec', command: ['/bin/sh', '-c', HOOK], timeout: '20s' })),
)

t.test('a request that kills the relay ends dead, and what runs beside it is delivered', { timeout: 400_000 }, (t) =>
  survives(t, async (supervisor) => {
    const { origin } = await httpServer(t, (response, { headers }) => {
      if (headers['x-relay-call-id'] === KILLER) void supervisor.kill()
      else setTimeout(() => response.end(), 200)
    })
    return { type: 'http', url: origin, timeout: '20s' }
  }),
)
