import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { sources } from '../daemon/operator-commands.ts'
import { spawnRelay, startRelay, writeConfig } from '../daemon/relay-process.ts'
import { bodyOf, send } from '../daemon/ultravox-sender.ts'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { numbersOf } from '../simulation/world.ts'

/** Within so many milliseconds after the file appears, the outbox is made. */
const MAKING_MS = 40

/** Kills relays while they make their outbox: what they leave must not be taken for an outbox that is gone. */
export async function killFirstStarts(t: Test, seed: number, count: number): Promise<void> {
  const random = numbersOf(seed)
  let unfinished = 0
  for (let n = 0; n < count; n++) {
    const directory = scratch(t)
    const config = writeConfig(directory, {
      sources,
      targets: { crm: { type: 'exec', command: ['cat'], paused: true } },
      routes: [{ events: ['*'], to: ['crm'] }],
    })
    const relay = spawnRelay(['serve', '--config', config], {}, directory)
    t.teardown(() => relay.kill('SIGKILL'))
    const ended = once(relay, 'close')
    let text = ''
    relay.stdout!.on('data', (chunk) => {
      text += chunk
    })
    await eventually(() => existsSync(join(directory, 'relay.db')), 'the file appears')
    await sleep(random() * MAKING_MS)
    relay.kill('SIGKILL')
    await ended
    if (!text.includes('"relay started"')) unfinished += 1
    const again = await startRelay(t, config)
    t.equal((await send(`${again.origin}/webhooks/ultravox`, bodyOf('call.ended'))).status, 204)
    await again.end('SIGKILL')
  }
  t.comment(
    `seed ${seed}: ${count} first starts killed, ${unfinished} of them before they had started; each began anew`,
  )
}
