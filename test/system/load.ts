import { createInterface } from 'node:readline'
import { bodyOf, send } from '../daemon/ultravox-sender.ts'

/**
 * Sends events to the URL in the first argument, signed with the secret in the second, from some clients at once. Each
 * line that it reads is answered with what came of them so far, as JSON; the end of its input ends it.
 */
const CLIENTS = 4
const [url, secret] = process.argv.slice(2) as [string, string]
const seen: Record<string, number> = {}
let under = true

async function client(): Promise<void> {
  while (under) {
    const outcome = await send(url, bodyOf('call.ended'), { secret }).then(({ status }) => String(status), String)
    seen[outcome] = (seen[outcome] ?? 0) + 1
  }
}

const clients = Array.from({ length: CLIENTS }, client)
for await (const _ of createInterface(process.stdin)) console.log(JSON.stringify(seen))
under = false
await Promise.all(clients)
console.log(JSON.stringify(seen))
