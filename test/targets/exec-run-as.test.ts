import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Secret } from '../../src/domain/secret.ts'
import { createExecTarget, type ExecTargetOptions } from '../../src/targets/exec.ts'
import { Launcher } from '../../src/targets/launcher.ts'
import { runProcessGroup } from '../../src/targets/process-group.ts'
import { running, sampleDelivery } from './sample-delivery.ts'

/** Nobody's on any machine: no entry in /etc/passwd is needed to become it. */
const STRANGER = { uid: 64_321, gid: 64_322, home: '/home/stranger' }
const asRoot = process.getuid?.() === 0

const launcher = new Launcher()
t.teardown(() => launcher.close())

function sh(script: string, options: Partial<ExecTargetOptions> = {}) {
  const defaults = { name: 'archive', directory: '/', timeoutMs: 10_000, env: {}, passEnv: [] }
  return createExecTarget({ ...defaults, command: ['/bin/sh', '-c', script], ...options }, launcher)
}

t.test('started as root, a program runs as the user it is given', { skip: !asRoot && 'not root' }, async (t) => {
  const before = process.getgroups!()
  // As a service of root's may have them.
  process.setgroups!([0, 4])
  t.teardown(() => process.setgroups!(before))
  const outcome = await sh('id -u; id -g; id -G; echo $HOME', { runAs: STRANGER }).send(sampleDelivery(), running)
  t.same(outcome, { kind: 'delivered', status: 0, response: '64321\n64322\n64322\n/home/stranger\n' })
})

t.test('it has no HOME of root, and one that is configured wins', { skip: !asRoot && 'not root' }, async (t) => {
  const runAs = { ...STRANGER, home: null }
  const none = await sh('echo "<$HOME>"', { runAs }).send(sampleDelivery(), running)
  t.match(none, { response: '<>\n' })
  const env = { HOME: new Secret('/srv') }
  t.match(await sh('echo $HOME', { runAs: STRANGER, env }).send(sampleDelivery(), running), { response: '/srv\n' })
})

t.test('it gets its input and is ended at its timeout like any other', { skip: !asRoot && 'not root' }, async (t) => {
  const outcome = await sh('cat', { runAs: STRANGER }).send(sampleDelivery(), running)
  t.match(outcome, { kind: 'delivered', response: Buffer.from(sampleDelivery().event.body).toString() })
  const sleeping = await sh('sleep 60 & wait', { runAs: STRANGER, timeoutMs: 200 }).send(sampleDelivery(), running)
  t.match(sleeping, { kind: 'failed', error: /^timeout/ })
})

t.test('it can open its standard streams by their paths', { skip: !asRoot && 'not root' }, async (t) => {
  const script = 'cat /dev/stdin > /dev/stdout; echo more | tee /dev/stderr > /dev/null'
  const body = Buffer.from(sampleDelivery().event.body).toString()
  const outcome = await sh(script, { runAs: STRANGER }).send(sampleDelivery(), running)
  t.match(outcome, { kind: 'delivered', response: `stdout:\n${body}\nstderr:\nmore\n` })
})

t.test('it cannot do what only root can', { skip: !asRoot && 'not root' }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'relay-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  chmodSync(directory, 0o700)
  const command = ['/bin/touch', join(directory, 'x')] as [string, string]
  const outcome = await sh('', { runAs: STRANGER, command }).send(sampleDelivery(), running)
  t.match(outcome, { kind: 'failed', error: /denied/i })
})

t.test('where the relay may not change the user the program is not started', async (t) => {
  if (asRoot) {
    process.seteuid!(STRANGER.uid)
    t.teardown(() => process.seteuid!(0))
  }
  // Here and not by the launcher, which may be root still.
  const stranger = { command: ['/bin/id'], runAs: { uid: 64_999, gid: 64_999 } } as const
  const started = runProcessGroup(
    { ...stranger, directory: '/', env: {}, input: Buffer.from(''), timeoutMs: 10_000 },
    running,
  )
  await t.rejects(started, { code: 'EPERM' })
})
