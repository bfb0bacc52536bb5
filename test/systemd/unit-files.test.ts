import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { scratch } from '../scratch.ts'

const UNITS = ['ultravox-relay.service', 'ultravox-relay.socket']
/** The most that `systemd-analyze security` may find: it calls that OK. */
const MOST_EXPOSED = 1.5

const analyze = (...args: string[]) => spawnSync('systemd-analyze', args, { encoding: 'utf8' })
const version = Number(/^systemd (\d+)/.exec(analyze('--version').stdout ?? '')?.[1])
const skip = Number.isNaN(version) && 'systemd-analyze is not installed'

/** What a systemd that is older than the unit says of it: it skips these lines, which the unit says of each. */
const NEWER = [
  { since: 253, line: /Failed to parse service type, ignoring: notify-reload$/ },
  { since: 254, line: /Unknown key (name )?'Restart(Steps|MaxDelaySec)' in section '?\[?Service\]?'?, ignoring\.$/ },
  { since: 255, line: /Unknown key (name )?'PollLimit(IntervalSec|Burst)' in section '?\[?Socket\]?'?, ignoring\.$/ },
]

t.test('systemd finds nothing wrong with the units', { skip }, async (t) => {
  const { status, stderr } = analyze('verify', '--man=no', ...UNITS.map((unit) => resolve('systemd', unit)))
  const ours = stderr.split('\n').filter((line) => line.includes('ultravox-relay'))
  const news = NEWER.filter(({ since }) => version < since)
  t.same(
    ours.filter((text) => !news.some(({ line }) => line.test(text))),
    [],
  )
  t.equal(status, 0)
})

t.test(`its exposure is at most ${MOST_EXPOSED}`, { skip }, async (t) => {
  const { stdout } = analyze('security', '--offline=yes', '--no-pager', resolve('systemd', UNITS[0]!))
  const [, exposure] = /Overall exposure level for \S+: ([\d.]+) (OK|MEDIUM|EXPOSED|UNSAFE)/.exec(stdout) ?? []
  t.ok(Number(exposure) <= MOST_EXPOSED, `it is ${exposure}`)
})

t.test('the drop-ins are valid, also with each line that they offer', { skip }, async (t) => {
  const directory = scratch(t)
  cpSync('systemd', directory, { recursive: true })
  mkdirSync(join(directory, 'ultravox-relay.service.d'))
  const dropIns = readdirSync('systemd').filter((name) => name.endsWith('.conf'))
  t.ok(dropIns.length >= 2)
  for (const name of dropIns) {
    const text = readFileSync(join('systemd', name), 'utf8').replaceAll(/^#(\w+=)/gm, '$1')
    writeFileSync(join(directory, 'ultravox-relay.service.d', name), text)
  }
  const { stderr } = analyze('verify', '--man=no', join(directory, UNITS[0]!))
  t.same(
    stderr.split('\n').filter((line) => line.includes('.conf')),
    [],
  )
})

t.test('the time to stop is longer than the relay takes by default', async (t) => {
  const unit = readFileSync('systemd/ultravox-relay.service', 'utf8')
  const stopSeconds = Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)![1])
  const reference = readFileSync('docs/configuration.md', 'utf8')
  const [, shutdownSeconds] = /shutdownTimeout[^\n]*?(\d+)s/.exec(reference)!
  t.ok(stopSeconds >= Number(shutdownSeconds) + 10, `${stopSeconds} s and ${shutdownSeconds} s`)
  t.match(unit, /^Type=notify-reload$/m)
})

t.test('the unit waits for a volume under the outbox that the README puts there', async (t) => {
  const unit = readFileSync('systemd/ultravox-relay.service', 'utf8')
  const [, state] = /^StateDirectory=(\S+)$/m.exec(unit)!
  const [, needed] = /^RequiresMountsFor=(.+)$/m.exec(unit)!
  t.same(needed!.split(' '), [`/var/lib/${state}`, `/var/lib/private/${state}`])
})
