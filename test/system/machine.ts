import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Test } from 'tap'
import { eventually } from '../eventually.ts'
import { installPackage } from '../installed.ts'
import { scratch } from '../scratch.ts'

const needed = ['systemd-nspawn', 'nsenter'].filter((name) => spawnSync(name, ['--version']).error !== undefined)

/** Why there can be no machine here; false where there can. */
export const noMachine =
  process.getuid!() !== 0
    ? 'takes root'
    : needed.length > 0 && `not installed: ${needed.join(', ')} (Debian: systemd-container, util-linux)`

/** Where npm installs to, in the machine. */
const PREFIX = '/usr/local'
/** SIGRTMIN+4, which asks a systemd to power off. */
const POWER_OFF = 38

export interface Machine {
  /** Runs a command in it, and gives what it printed; throws where it fails. */
  run(...command: string[]): string
  /** Starts a command in its network, which has a loopback interface only, and with our files. */
  inNetwork(...command: string[]): ChildProcess
  write(path: string, text: string): void
  readonly systemd: number
}

/**
 * Boots a systemd in a container of its own: over this machine's files, or over those of $SYSTEM_TEST_ROOT (made by
 * debootstrap, say), which it leaves as they are. The package is installed in it.
 */
export async function bootMachine(t: Test): Promise<Machine> {
  const directory = scratch(t)
  const root = mountOverlay(t, directory)
  await installIn(root, directory)
  const modules = join(PREFIX, 'lib/node_modules/ultravox-relay/node_modules')
  const binds = [`${resolve('node_modules')}:${modules}`, `${process.execPath}:${PREFIX}/bin/node`]
  const options = [
    '--quiet',
    '--register=no',
    '--keep-unit',
    '--link-journal=no',
    '--private-network',
    '--console=pipe',
  ]
  const nspawn = spawn(
    'systemd-nspawn',
    // No more than the basic units: what else is enabled on this machine is not to run twice.
    [
      ...options,
      ...binds.map((bind) => `--bind-ro=${bind}`),
      `--directory=${root}`,
      '--boot',
      '--',
      '--unit=basic.target',
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  )
  const ended = once(nspawn, 'exit')
  const leader = () => spawnSync('pgrep', ['-P', String(nspawn.pid)], { encoding: 'utf8' }).stdout.trim()
  await eventually(() => leader() !== '', 'systemd-nspawn has started systemd')
  const pid = leader()
  t.teardown(async () => {
    process.kill(Number(pid), POWER_OFF)
    await ended
  })

  // By way of env, so that the test runner's hooks stay outside.
  const entered = (namespaces: string) => {
    return [
      '--target',
      pid,
      namespaces,
      '--',
      '/usr/bin/env',
      '-i',
      'PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin',
    ]
  }
  const attempt = (...command: string[]) =>
    spawnSync('nsenter', [...entered('--all'), ...command], { encoding: 'utf8', timeout: 60_000 })
  const run = (...command: string[]) => {
    const { status, stdout, stderr } = attempt(...command)
    if (status !== 0) throw new Error(`${command.join(' ')} ended with ${status}: ${stderr}`)
    return stdout.trim()
  }
  await eventually(
    () => /running|degraded/.test(attempt('systemctl', 'is-system-running').stdout),
    'systemd has booted',
    120_000,
  )
  return {
    run,
    inNetwork: (...command) =>
      spawn('nsenter', [...entered('--net'), ...command], { stdio: ['pipe', 'pipe', 'inherit'] }),
    write: (path, text) => writeFileSync(join(root, path), text),
    systemd: Number(/^systemd (\d+)/.exec(run('systemctl', '--version'))![1]),
  }
}

function mountOverlay(t: Test, directory: string): string {
  const [memory, root] = [join(directory, 'memory'), join(directory, 'root')]
  for (const each of [memory, root]) mkdirSync(each)
  mount(t, ['-t', 'tmpfs', 'tmpfs', memory])
  for (const each of ['upper', 'work']) mkdirSync(join(memory, each))
  const lower = process.env.SYSTEM_TEST_ROOT ?? '/'
  const layers = `lowerdir=${lower},upperdir=${join(memory, 'upper')},workdir=${join(memory, 'work')}`
  mount(t, ['-t', 'overlay', 'overlay', '-o', layers, root])
  return root
}

function mount(t: Test, args: readonly string[]): void {
  const { status, stderr } = spawnSync('mount', args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`mount ${args.join(' ')}: ${stderr}`)
  t.teardown(() => spawnSync('umount', ['--lazy', args.at(-1)!]))
}

async function installIn(root: string, directory: string): Promise<void> {
  const installed = join(installPackage(directory), 'lib/node_modules/ultravox-relay')
  const there = join(root, PREFIX, 'lib/node_modules/ultravox-relay')
  // The links into this clone lead nowhere in there.
  rmSync(join(installed, 'node_modules'), { recursive: true })
  cpSync(installed, there, { recursive: true })
  for (const each of [join(there, 'node_modules'), join(root, PREFIX, 'bin')]) mkdirSync(each, { recursive: true })
  const { bin } = JSON.parse(readFileSync(join(there, 'package.json'), 'utf8')) as { bin: Record<string, string> }
  const command = join(root, PREFIX, 'bin/ultravox-relay')
  rmSync(command, { force: true })
  symlinkSync(join(PREFIX, 'lib/node_modules/ultravox-relay', bin['ultravox-relay']!), command)
  writeFileSync(join(root, PREFIX, 'bin/node'), '')
}
