import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { stringify } from 'yaml'
import { type AdminClient, adminClient } from '../daemon/admin-client.ts'
import { MAIN } from '../daemon/relay-process.ts'
import { eventually } from '../eventually.ts'
import { freePort } from '../local-server.ts'

export interface LongLivedRelay {
  readonly pid: number
  readonly origin: string
  readonly admin: AdminClient
  /** The file with the lines that it logged, but for those that say that all is well. */
  readonly warnings: string
  /** Ends it in good order, and gives its exit code. */
  stop(): Promise<number | null>
}

/**
 * Starts the real daemon in the directory. What it logs, it logs as ever, but grep keeps only what is above `info`: some
 * hours of the rest fill a disk, or the memory of whoever reads it.
 */
export async function startLongLived(
  t: Pick<Test, 'teardown'>,
  directory: string,
  config: Record<string, unknown>,
): Promise<LongLivedRelay> {
  const listen = `127.0.0.1:${await freePort()}`
  const file = join(directory, 'relay.yaml')
  writeFileSync(file, stringify({ server: { listen }, admin: { listen: 'unix:./admin.sock' }, ...config }))
  const warnings = join(directory, 'warnings.ndjson')
  const kept = openSync(warnings, 'w')
  const words = join(directory, 'stderr.txt')
  const said = openSync(words, 'w')
  const grep = spawn('grep', ['--line-buffered', '--invert-match', '"level":"info"'], {
    stdio: ['pipe', kept, 'inherit'],
  })
  const own = ['-i', `PATH=${process.env.PATH}`, `HOME=${process.env.HOME}`]
  const relay = spawn('/usr/bin/env', [...own, process.execPath, MAIN, 'serve', '--config', file], {
    cwd: directory,
    stdio: ['ignore', grep.stdin, said],
  })
  grep.stdin!.destroy()
  t.teardown(() => relay.kill('SIGKILL'))
  const ended = once(relay, 'exit') as Promise<[number | null]>
  const admin = adminClient(`unix:${join(directory, 'admin.sock')}`)
  const isReady = () =>
    admin.get('/readyz').then(
      ({ status }) => status === 200,
      () => false,
    )
  const isOver = async () => relay.exitCode !== null || (await isReady())
  await eventually(isOver, 'the relay is ready', 20_000).catch((error: Error) => {
    throw new Error(`${error.message}\n${readFileSync(words, 'utf8')}`)
  })
  if (relay.exitCode !== null) throw new Error(`it ended with ${relay.exitCode}\n${readFileSync(words, 'utf8')}`)
  return {
    pid: relay.pid!,
    origin: `http://${listen}`,
    admin,
    warnings,
    async stop() {
      relay.kill('SIGTERM')
      return (await ended)[0]
    },
  }
}
