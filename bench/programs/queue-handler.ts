import { createRequire } from 'node:module'
import { verifyingApp } from './verifying-app.ts'

/**
 * The first half of a queue: it verifies, and answers when Redis has the job. Its arguments: a port, a secret, the port of
 * Redis, and where BullMQ is installed.
 */
const [, , port, secret, redisPort, packages] = process.argv
const { Queue } = createRequire(packages!)('bullmq')
const queue = new Queue('events', { connection: { host: '127.0.0.1', port: Number(redisPort) } })
const options = { attempts: 8, backoff: { type: 'exponential', delay: 1_000 }, removeOnComplete: true }

const app = verifyingApp(secret!, (body) => queue.add('call.ended', { body: body.toString() }, options))
await app.listen({ host: '127.0.0.1', port: Number(port) })
console.log('ready')
