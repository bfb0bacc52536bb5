import { createRequire } from 'node:module'
import { Agent, request } from 'undici'

/**
 * The second half of a queue: it sends each job to a target. Its arguments: a port that it does not use, the URL of the target,
 * the port of Redis, and where BullMQ is installed.
 */
const [, , , url, redisPort, packages] = process.argv
const { Worker } = createRequire(packages!)('bullmq')
const CONCURRENCY = 32
const dispatcher = new Agent({ connections: CONCURRENCY })
const headers = { 'content-type': 'application/json' }

async function send({ data }: { data: { body: string } }): Promise<void> {
  const { statusCode, body } = await request(url!, { method: 'POST', headers, body: data.body, dispatcher })
  await body.dump()
  if (statusCode >= 300) throw new Error(`the target answered ${statusCode}`)
}

const connection = { host: '127.0.0.1', port: Number(redisPort), maxRetriesPerRequest: null }
const worker = new Worker('events', send, { connection, concurrency: CONCURRENCY })
await worker.waitUntilReady()
console.log('ready')
