import { once } from 'node:events'
import { syncBuiltinESMExports } from 'node:module'
import threads, { type Worker, type WorkerOptions } from 'node:worker_threads'

/**
 * Imported into a relay that is profiled. Its threads take no flags from it, so these are given to them; and it ends only when they
 * have, for each writes its profile when it ends.
 */
const flags = process.execArgv.filter((flag) => flag.startsWith('--cpu-prof'))
const running = new Set<Worker>()

threads.Worker = class extends threads.Worker {
  constructor(file: string | URL, options: WorkerOptions) {
    super(file, { ...options, execArgv: flags })
    running.add(this)
    this.once('exit', () => running.delete(this))
  }
}
syncBuiltinESMExports()

const { exit } = process
process.exit = ((code) => {
  void Promise.all([...running].map((worker) => once(worker, 'exit'))).then(() => exit(code))
}) as typeof exit
