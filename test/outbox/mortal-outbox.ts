import { parentPort } from 'node:worker_threads'

/** The outbox's thread, which ends without a word when it is first asked something. */
parentPort!.on('message', () => process.exit())

await import('../../src/outbox/sqlite/worker.js')
