import { MAIN } from './relay-process.ts'
import type { HostedCommand, HostedEnd } from './run-command.ts'

/** What `process.exit` throws here: it must not return, and nothing after it counts. */
class Exited extends Error {}

// Every command listens to the standard output for as long as the process lives.
process.stdout.setMaxListeners(0)
process.on('disconnect', () => process.exit())

// One after the other: they share the working directory, the environment and the exit code.
let last = Promise.resolve()
process.on('message', (command: HostedCommand) => {
  last = last.then(async () => void process.send!(await run(command)))
})

/** Runs `main.js` once more, as if this process had been started for it. */
async function run({ id, args, cwd, env }: HostedCommand): Promise<HostedEnd> {
  process.chdir(cwd)
  for (const name of Object.keys(process.env)) delete process.env[name]
  Object.assign(process.env, env)
  process.argv = [process.execPath, MAIN, ...args]
  process.exitCode = undefined
  const written = { stdout: '', stderr: '' }
  let exited: number | undefined
  const restore = [
    replaced(process.stdout, 'write', capture('stdout')),
    replaced(process.stderr, 'write', capture('stderr')),
    replaced(process, 'exit', (code) => {
      exited ??= Number(code ?? process.exitCode ?? 0)
      throw new Exited()
    }),
  ]
  try {
    // The query makes it a module of its own, so that it runs again; all that it imports is there already.
    await import(`${MAIN}?${id}`)
  } finally {
    for (const each of restore) each()
  }
  return { id, code: exited ?? Number(process.exitCode ?? 0), ...written }

  function capture(name: 'stdout' | 'stderr'): typeof process.stdout.write {
    return (chunk: string | Uint8Array, ...rest: unknown[]) => {
      if (exited === undefined) written[name] += Buffer.from(chunk as Uint8Array).toString()
      const done = rest.find((each) => typeof each === 'function')
      if (done !== undefined) process.nextTick(done)
      return true
    }
  }
}

/** Puts something else in an object's place, and gives what puts the old one back. */
function replaced<T, K extends keyof T>(object: T, key: K, other: T[K]): () => void {
  const before = object[key]
  object[key] = other
  return () => {
    object[key] = before
  }
}
