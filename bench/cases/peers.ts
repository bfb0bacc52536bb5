import { spawnSync } from 'node:child_process'
import { copyFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../../test/local-server.ts'
import {
  alternate,
  type Case,
  eachOf,
  FEWER_ROUNDS,
  type Figure,
  NotHere,
  perSecond,
  ratio,
  type Settings,
} from '../measure.ts'
import { type Program, type Surroundings, startProgram, startRelay, startTool } from '../processes.ts'
import { SECRET, signedRequests } from '../requests.ts'
import { loadWarm } from '../wrk.ts'

const CONCURRENCY = 32

/** Starts what takes events and sends them to a URL. */
type Start = (url: string, directory: string) => Promise<Program>

interface Peer {
  readonly name: string
  /** Installs what it takes, into a directory. Throws `NotHere`. */
  prepare(directory: string): Start
  /** Whether it has run its program before it answers, instead of sending anything. */
  readonly runsProgram?: true
}

const relay: Start = (url, directory) =>
  startRelay({ directory, targets: { crm: { type: 'http', url, concurrency: CONCURRENCY } } })

const HOOK = { id: 'ultravox', 'execute-command': '/bin/true', 'include-command-output-in-response': true }

/** adnanh's webhook: it runs a program for each request, and answers when the program has ended. It stores nothing. */
const webhook: Peer = {
  name: 'webhook',
  runsProgram: true,
  prepare() {
    need('webhook', '-version')
    return async (_url, directory) => {
      const hooks = join(directory, 'hooks.json')
      writeFileSync(hooks, JSON.stringify([HOOK]))
      const port = await freePort()
      return startTool(
        'webhook',
        ['-hooks', hooks, '-urlprefix', 'webhooks', '-ip', '127.0.0.1', '-port', `${port}`],
        port,
      )
    }
  },
}

/** A handler that adds a job, a worker that sends it, and a Redis that has it on disk before it answers, or a second later. */
function bullmq(appendfsync: 'always' | 'everysec'): Peer {
  return {
    name: `BullMQ, appendfsync ${appendfsync}`,
    prepare(packages) {
      need('redis-server', '--version')
      installInto(packages)
      return async (url, directory) => {
        const port = await freePort()
        const kept = ['--dir', directory, '--appendonly', 'yes', '--appendfsync', appendfsync, '--save', '']
        const redis = await startTool('redis-server', ['--port', `${port}`, '--bind', '127.0.0.1', ...kept], port)
        const queue = [`${redis.port}`, `${packages}/`]
        const worker = await startProgram('queue-worker', url, ...queue)
        const handler = await startProgram('queue-handler', SECRET, ...queue)
        return {
          ...handler,
          async end() {
            for (const each of [handler, worker, redis]) await each.end()
          },
        }
      }
    },
  }
}

function need(program: string, ...args: string[]): void {
  if (spawnSync(program, args).error !== undefined) throw new NotHere('needs the Debian packages webhook, redis-server')
}

/** What only a comparison needs is not installed with the relay. */
function installInto(directory: string): void {
  copyFileSync('bench/peers/package.json', join(directory, 'package.json'))
  const quietly = ['--silent', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock']
  const { status } = spawnSync('npm', ['install', ...quietly], { cwd: directory, stdio: 'ignore' })
  if (status !== 0) throw new NotHere('bullmq cannot be had from the registry')
}

function peerCase(peer: Peer): Case {
  return {
    name: `peers: ${peer.name}`,
    async run({ rounds, seconds }: Settings, around: Surroundings): Promise<Figure[]> {
      const start = peer.prepare(around.fresh())
      const requests = await signedRequests(seconds)
      const through = async (begin: Start, runsProgram = false) => {
        const sink = await startProgram('sink')
        const middle = await begin(`http://127.0.0.1:${sink.port}/in`, around.fresh())
        const received = async () => (JSON.parse(await sink.ask('now')) as { received: number }).received
        let before = 0
        const options = { port: middle.port, connections: 64, seconds, requests }
        const seen = await loadWarm(options, async () => {
          before = await received()
        })
        const delivered = (await received()) - before
        await middle.end()
        await sink.end()
        return { acknowledged: seen.perSecond, delivered: runsProgram ? seen.perSecond : delivered / seconds }
      }
      const sides = await alternate(
        Math.min(rounds, FEWER_ROUNDS),
        () => through(relay),
        () => through(start, peer.runsProgram),
      )
      return (['acknowledged', 'delivered'] as const).map((what) => {
        const name = `${this.name}: ${what}`
        const both = eachOf(sides, (side) => side[what])
        return ratio(both, { name, floor: 1, aim: 3, shown: perSecond, reference: 'theirs' })
      })
    },
  }
}

/** What others use for the same, in the same run: taken in and delivered to one target at the same time. */
export const PEERS: readonly Case[] = [webhook, bullmq('always'), bullmq('everysec')].map(peerCase)
