/**
 * Sends numbered calls to the URL in the first argument, signed with the secret in the second, with so many requests under
 * way at most as the third says: a relay that cannot keep up is sent less, not more and more. Each line that it reads is a
 * rate (events a second; Infinity: as many as are taken) and is answered with what came of them so far, as JSON. When its
 * input ends, it waits for what is under way and tells which calls were not acknowledged.
 */
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { Pool } from 'undici'
import { Secret } from '../../src/domain/secret.ts'
import { ultravoxHeaders, ultravoxKey } from '../../src/domain/ultravox-signature.ts'
import { bodyOfCall } from './numbered-calls.ts'

/** What was sent until now. */
export interface Sent {
  readonly sent: number
  readonly acknowledged: number
  /** By status, or by what went wrong. */
  readonly duplicates: Readonly<Record<string, number>>
  readonly forgeries: Readonly<Record<string, number>>
  readonly refusals: Readonly<Record<string, number>>
  /** Only at the end. */
  readonly unacknowledged?: readonly number[]
}

const DUPLICATE_EVERY = 100
const FORGERY_EVERY = 500
const TICK_MS = 5

const [url, secret, most] = process.argv.slice(2) as [string, string, string]
const { origin, pathname } = new URL(url)
const MOST_UNDER_WAY = Number(most)
const pool = new Pool(origin, { connections: MOST_UNDER_WAY })
const [key, forgedKey] = [secret, 'forged'].map((text) => ultravoxKey(new Secret(text)))

let rate = 0
let sent = 0
let acknowledged = 0
let underWay = 0
const unacknowledged: number[] = []
const [duplicates, forgeries, refusals] = [{}, {}, {}] as Record<string, number>[]

async function post(body: Buffer, by = key!): Promise<string> {
  const headers = ['content-type', 'application/json', ...ultravoxHeaders([by], body, Date.now())]
  try {
    const answer = await pool.request({ method: 'POST', path: pathname, headers, body })
    await answer.body.dump()
    return String(answer.statusCode)
  } catch (error) {
    return String(error)
  }
}

function count(counts: Record<string, number>, what: string): void {
  counts[what] = (counts[what] ?? 0) + 1
}

async function sendCall(n: number): Promise<void> {
  const body = bodyOfCall(n)
  const answer = await post(body)
  if (answer === '204') acknowledged++
  else {
    unacknowledged.push(n)
    count(refusals!, answer)
  }
  if (n % DUPLICATE_EVERY === 0) count(duplicates!, await post(body))
  if (n % FORGERY_EVERY === 0) count(forgeries!, await post(body, forgedKey))
}

function fill(most: number): void {
  for (let room = Math.min(most, MOST_UNDER_WAY - underWay); room >= 1; room--) {
    underWay++
    void sendCall(sent++).finally(() => {
      underWay--
      if (rate === Number.POSITIVE_INFINITY) fill(1)
    })
  }
}

let lastAt = performance.now()
let owed = 0
const ticking = setInterval(() => {
  const now = performance.now()
  // What could not be sent in its time is not made up for.
  owed = Math.min(MOST_UNDER_WAY, owed + (rate * (now - lastAt)) / 1_000)
  lastAt = now
  const before = sent
  fill(Math.floor(owed))
  owed -= sent - before
}, TICK_MS)

const soFar = (): Sent => ({
  sent,
  acknowledged,
  duplicates: duplicates!,
  forgeries: forgeries!,
  refusals: refusals!,
})

for await (const line of createInterface(process.stdin)) {
  rate = Number(line)
  if (rate === 0) owed = 0
  console.log(JSON.stringify(soFar()))
}
clearInterval(ticking)
rate = 0
while (underWay > 0) await sleep(TICK_MS)
console.log(JSON.stringify({ ...soFar(), unacknowledged }))
await pool.close()
