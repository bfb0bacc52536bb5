import { parentPort } from 'node:worker_threads'

/** The operator's thread, but for two calls that it does not survive. */
parentPort!.on('message', (message: { method?: string; args?: unknown[] }) => {
  if (message.method !== 'showCall') return
  if (message.args?.[0] === 'exit') process.exit(3)
  throw new Error('boom')
})

await import('../../src/outbox/sqlite/operator-worker.js')
