import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { systemClock } from '../../src/domain/clock.ts'
import { Secret } from '../../src/domain/secret.ts'
import { secretFingerprint } from '../../src/domain/secret-fingerprint.ts'
import { type Finished, MAIN, runRelay, writeConfig } from '../daemon/relay-process.ts'
import { runCommand } from '../daemon/run-command.ts'
import { scratch } from '../scratch.ts'
import { API_KEY, createFakeApi } from './fake-api.ts'

export const EVENTS = ['call.started', 'call.joined', 'call.ended', 'call.billed']
export const URL_WANTED = 'https://relay.test/webhooks/ultravox'

export const fingerprint = (secret: string) => secretFingerprint(new Secret(secret))

export interface SetUp {
  /** In the secrets file; absent: there is none. */
  readonly secrets?: readonly string[]
  /** Changes what is said of the source, and of the webhook. */
  readonly source?: object
  readonly webhook?: object | null
  /** Whether commands run in processes of their own, so that several can wait side by side. */
  readonly ownProcesses?: boolean
}

/** A provider, and a directory with the configuration of a relay that has its webhook there. */
export async function webhookRelay(t: Test, { secrets, source = {}, webhook = {}, ownProcesses }: SetUp = {}) {
  const api = await createFakeApi(t, { clock: systemClock })
  const directory = scratch(t)
  const secretsFile = join(directory, 'ultravox.secrets')
  if (secrets !== undefined) writeFileSync(secretsFile, secrets.map((each) => `${each}\n`).join(''), { mode: 0o600 })
  const write = (url: string, more: object = {}) =>
    writeConfig(directory, {
      sources: { ultravox: { scheme: 'ultravox', secretsFile: './ultravox.secrets', ...source } },
      targets: { crm: { type: 'exec', command: ['cat'] } },
      routes: [{ events: ['*'], to: ['crm'] }],
      ultravox: {
        apiKey: API_KEY,
        baseUrl: api.baseUrl,
        ...(webhook && { webhook: { url, source: 'ultravox', ...webhook } }),
      },
      ...more,
    })
  write(URL_WANTED)
  const outputs: string[] = []
  /** Runs a command to its end. No secret may ever be in what it says. */
  async function run(line: string, ...more: string[]): Promise<Finished> {
    const finished = await (ownProcesses ? runRelay : runCommand)([...line.split(' '), ...more], directory)
    outputs.push(finished.stdout, finished.stderr)
    return finished
  }
  const inFile = () =>
    existsSync(secretsFile)
      ? readFileSync(secretsFile, 'utf8')
          .split('\n')
          .filter((line) => line !== '')
      : []
  const registered = () => api.webhooks.entries().map(({ text }) => JSON.parse(text))
  /** Whether any of these, or of the secrets that are there now, was told. */
  const told = (...known: string[]) =>
    [...known, ...inFile(), ...registered().flatMap((each) => each.secrets as string[]), API_KEY].filter((secret) =>
      outputs.some((output) => output.includes(secret)),
    )
  const changes = () => api.requests.filter(({ method }) => method !== 'GET').map(({ method }) => method)
  return { api, directory, secretsFile, write, run, json: jsonOf(run), inFile, registered, told, changes }
}

function jsonOf(run: (line: string, ...more: string[]) => Promise<Finished>) {
  return async (line: string) => JSON.parse((await run(line, '--json')).stdout)
}

/** Starts a command that is to be killed. */
export function start(t: Test, line: string, directory: string): { child: ChildProcess; ended: Promise<unknown> } {
  const env = { PATH: process.env.PATH, HOME: process.env.HOME }
  const child = spawn(process.execPath, [MAIN, ...line.split(' ')], { cwd: directory, env, stdio: 'ignore' })
  t.teardown(() => child.kill('SIGKILL'))
  return { child, ended: once(child, 'close') }
}
