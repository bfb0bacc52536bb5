import { readdirSync, realpathSync, utimesSync, writeFileSync } from 'node:fs'
import { uptime } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { removeNoted } from '../src/leftovers.ts'
import { partialName, removeLeftovers } from '../src/partial-file.ts'
import { isProcessRunning, ownIdentity, startTime } from '../src/process-identity.ts'
import { hungMount } from './hung-mount.ts'
import { scratch } from './scratch.ts'

const DAY_S = 24 * 60 * 60
const skip = process.platform !== 'linux' && 'reads /proc'

interface Parts {
  readonly boot?: string
  readonly namespace?: string
  readonly pid?: number
  readonly started?: string
}

/** A name as another process would give it. */
function nameOf(parts: Parts, kind?: 'writing'): string {
  const [, , boot, namespace, pid, started, rest] = partialName(kind).split('-')
  const of = { boot, namespace, pid, started, ...parts }
  return `.ultravox-relay-${of.boot}-${of.namespace}-${of.pid}-${of.started}-${rest}`
}

/** The names that stay. */
function kept(t: Test, files: readonly [name: string, ageSeconds: number][]): string[] {
  const directory = realpathSync(scratch(t))
  for (const [name, age] of files) {
    writeFileSync(join(directory, name), '')
    const at = Date.now() / 1_000 - age
    utimesSync(join(directory, name), at, at)
  }
  removeLeftovers(directory, (name) => join(directory, name))
  return readdirSync(directory)
}

t.test('a partial file stays as long as its process may run where it cannot be seen', { skip }, async (t) => {
  const beforeBoot = uptime() + 60
  const living: [string, number][] = [
    // Of another machine that this one exports the directory to, or a container with a boot id of its own.
    [nameOf({ boot: 'abcdef01', started: '7' }), 0],
    [nameOf({ namespace: '7' }), 0],
    // Of a unit that does not see the boot id.
    [nameOf({ boot: '0' }), 0],
    [nameOf({ boot: '0', namespace: '7' }), 0],
  ]
  const dead: [string, number][] = [
    [nameOf({ boot: 'abcdef01' }), beforeBoot],
    [nameOf({ boot: '0', namespace: '7' }), beforeBoot],
    [nameOf({ boot: '0', started: '7' }), 0],
    [nameOf({ started: '7' }), 0],
    [nameOf({ namespace: '7' }), 2 * DAY_S],
  ]
  t.same(kept(t, [...living, ...dead]).sort(), living.map(([name]) => name).sort())
})

t.test('a process runs only if it is the one that was started then', { skip }, async (t) => {
  t.equal(isProcessRunning(process.pid, startTime(process.pid)), true)
  t.equal(isProcessRunning(process.pid, '7'), false)
  t.equal(isProcessRunning(2 ** 22 + 1, '7'), false)
  t.equal(ownIdentity().started, startTime(process.pid))
})

t.test('a killed backup on a share that does not answer is reported without asking it', { skip }, async (t) => {
  const mount = hungMount(t)
  if (mount === null) return t.plan(0, 'needs root and /dev/fuse')
  const outbox = scratch(t)
  const backup = join(mount.directory, nameOf({ started: '7' }))
  writeFileSync(join(outbox, nameOf({ started: '7' }, 'writing')), backup)
  t.match(removeNoted(outbox), [{ path: backup, problem: /fuse file system at .* may not answer/ }])
  t.equal(readdirSync(outbox).length, 1, 'the note stays for the next backup')
})
