import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { stringify } from 'yaml'
import { eventually } from '../eventually.ts'
import { bootMachine, type Machine, noMachine } from './machine.ts'

const RESTARTS = 20
const UNIT = 'ultravox-relay.service'
const SOCKET = 'ultravox-relay.socket'
const CONFIG = '/etc/ultravox-relay/relay.yaml'
const SECRET = 'whsec_system_5a0c'
const LOAD = fileURLToPath(new URL('./load.js', import.meta.url))
const README = readFileSync('README.md', 'utf8')

/** The package is installed already, from the tarball. */
const NPM = 'npm() { if [ "$1" = root ]; then echo /usr/local/lib/node_modules; fi; }; '

/** The first commands in the README after this text. */
function commandsAfter(text: string): string {
  return NPM + /```sh\n(.*?)```/s.exec(README.slice(README.indexOf(text)))![1]!
}

function configuration(targets: readonly string[]): string {
  return stringify({
    outbox: { path: '/var/lib/ultravox-relay/relay.db' },
    sources: { ultravox: { scheme: 'ultravox', secrets: ['${credential:relay_webhook}'] } },
    targets: Object.fromEntries(targets.map((name) => [name, { type: 'exec', command: ['cat'] }])),
    routes: [{ events: ['call.started'], to: targets }],
  })
}

/** Load from inside the machine's network, and what has come of it: by status or error, how often. */
function startLoad(t: Test, machine: Machine) {
  const child = machine.inNetwork(process.execPath, LOAD, 'http://127.0.0.1:8080/webhooks/ultravox', SECRET)
  t.teardown(() => child.kill('SIGKILL'))
  const lines = createInterface(child.stdout!)
  const answer = async () => JSON.parse((await once(lines, 'line'))[0]) as Record<string, number>
  return {
    async soFar() {
      child.stdin!.write('\n')
      return answer()
    },
    async end() {
      child.stdin!.end()
      return answer()
    },
  }
}

const title = 'the unit starts, reloads, restarts under load, survives a crash and a hang, stops and moves'
t.test(title, { skip: noMachine }, async (t) => {
  const machine = await bootMachine(t)
  const { run, write } = machine
  const old = machine.systemd < 253
  const systemctl = (...args: string[]) => run('systemctl', ...args)
  const shell = (script: string) => run('sh', '-euc', script)
  const shown = (property: string) => systemctl('show', '--value', '--property', property, UNIT)
  const status = (end: string) => eventually(() => shown('StatusText').endsWith(end), `a status that ends with ${end}`)
  const events = () => {
    const document = JSON.parse(run('ultravox-relay', 'status', '--json', '--config', CONFIG))
    return (document as { outbox: { events: number } }).outbox.events
  }
  t.comment(`systemd ${machine.systemd}`)

  await t.test('started as the README says', async (t) => {
    run('mkdir', '-p', `/etc/systemd/system/${UNIT}.d`)
    // So that a hang need not be waited for.
    write(`/etc/systemd/system/${UNIT}.d/test.conf`, '[Service]\nWatchdogSec=10\n')
    if (old) shell(NPM + /`(install [^`]*older-systemd\.conf)`/.exec(README)![1]!)
    t.match(shell(commandsAfter('## Run it as a service')), /204/)
    t.equal(shown('ActiveState'), 'active')
    t.equal(shown('Type'), old ? 'notify' : 'notify-reload')
    const archived = () => shell('cat /var/lib/ultravox-relay/calls.ndjson 2>/dev/null | wc -l')
    await eventually(() => archived() === '1', 'its first event is delivered')
    const owners = run('stat', '--format', '%u', `/proc/${shown('MainPID')}`, '/var/lib/ultravox-relay/relay.db')
    t.match(owners, /^(6[1-5]\d{3})\n\1$/, 'it runs as a user of its own, and so does its outbox')
    // A credential is copied at a start.
    write('/etc/ultravox-relay/secrets/webhook', `${SECRET}\n`)
    write(CONFIG, configuration(['archive']))
    systemctl('restart', UNIT)
    await status('listening on 127.0.0.1:8080; 1 target, 0 dead, 0 due')
  })

  await t.test('reloaded', async (t) => {
    write(CONFIG, configuration(['archive', 'crm']))
    systemctl('reload', UNIT)
    await status('2 targets, 0 dead, 0 due')
    write(CONFIG, 'sources: {')
    if (old) t.throws(() => systemctl('reload', UNIT), 'a refused reload is a failed one')
    else {
      systemctl('reload', UNIT)
      await status('was refused: see "ultravox-relay status"')
    }
    t.equal(shown('ActiveState'), 'active')
    write(CONFIG, configuration(['archive', 'crm']))
    systemctl('reload', UNIT)
    await status('2 targets, 0 dead, 0 due')
  })

  await t.test('a changed credential takes a restart, and both reload and doctor say so', async (t) => {
    const commands = (command: string) => shell(`ultravox-relay ${command} --config ${CONFIG} || echo "exit $?"`)
    const changed = /credential:relay_webhook\} has changed since the start \(\/etc\/ultravox-relay\/secrets\/webhook\)/
    const restart = /systemctl restart ultravox-relay\.service/
    t.notMatch(commands('reload'), /credential|exit/)
    t.match(commands('doctor'), /credentials +ultravox-relay.service has what LoadCredential= names now/)
    write('/etc/ultravox-relay/secrets/webhook', 'whsec_renewed_0c4d\n')
    const reloaded = commands('reload')
    t.match(reloaded, changed)
    t.match(reloaded, restart)
    t.match(reloaded, /exit 1$/)
    const found = commands('doctor')
    t.match(found, changed)
    t.match(found, restart)
    t.match(found, /exit 1$/)
    t.match(shell(`journalctl --unit ${UNIT} --output cat`), /"credentials":\["relay_webhook"\]/)
    write('/etc/ultravox-relay/secrets/webhook', `${SECRET}\n`)
  })

  await t.test('restarted under load, and crashed', async (t) => {
    const load = startLoad(t, machine)
    const taken = async () => (await load.soFar())['204'] ?? 0
    await eventually(async () => (await taken()) > 20, 'there is load')
    for (let restart = 0; restart < RESTARTS; restart++) systemctl('restart', UNIT)
    const seen = await load.soFar()
    t.same(Object.keys(seen), ['204'], `${seen['204']} requests over ${RESTARTS} restarts, 0 failed`)
    t.equal(shown('NRestarts'), '0')

    shell(`kill -KILL ${shown('MainPID')}`)
    await eventually(() => shown('NRestarts') === '1' && shown('SubState') === 'running', 'it is back')
    const before = await taken()
    await eventually(async () => (await taken()) > before + 20, 'and takes requests')
    const { 204: acknowledged, ...failed } = await load.end()
    t.comment(`the crash cost ${JSON.stringify(failed)}`)
    t.ok(events() >= acknowledged!, 'what it acknowledged is there')
  })

  await t.test('hung', async () => {
    shell(`kill -STOP ${shown('MainPID')}`)
    await eventually(() => shown('NRestarts') === '2' && shown('SubState') === 'running', 'it is back', 60_000)
    await status('due')
  })

  await t.test('stopped', async (t) => {
    systemctl('stop', UNIT, SOCKET)
    t.equal(shown('ActiveState'), 'inactive')
    t.equal(shown('Result'), 'success')
    const ends = shell(`journalctl --unit ${UNIT} --output cat | grep -c '"msg":"relay stopped"'`)
    t.equal(Number(ends), RESTARTS + 2, 'in good order, this time and at each restart')
  })

  await t.test('moved', async (t) => {
    const before = events()
    shell(commandsAfter('To move to another machine'))
    run('rm', '-r', '/var/lib/private/ultravox-relay', '/var/lib/ultravox-relay')
    shell(commandsAfter('There, before the first start'))
    systemctl('start', SOCKET, UNIT)
    t.equal(events(), before)
    systemctl('stop', UNIT, SOCKET)
  })

  await t.test('restored while the socket is enabled and webhooks come', async (t) => {
    const restore = (file: string) =>
      shell(`ultravox-relay restore ${file} --yes --config ${CONFIG} 2>&1 || echo "exit $?"`)
    systemctl('start', SOCKET, UNIT)
    const load = startLoad(t, machine)
    const taken = async () => (await load.soFar())['204'] ?? 0
    await eventually(async () => (await taken()) > 20, 'there is load')
    const inBackup = events()
    shell(`ultravox-relay backup /var/lib/backup.db --config ${CONFIG}`)
    const backedUp = await taken()
    await eventually(async () => (await taken()) > backedUp + 20, 'there is more than in the backup')

    // The service alone: a webhook starts it again, and the outbox is in use.
    systemctl('stop', UNIT)
    await eventually(() => shown('SubState') === 'running', 'the socket has started it again')
    t.match(restore('/var/lib/backup.db'), /stop ultravox-relay\.socket.*exit/s)

    // Moved away by hand: what starts meanwhile finds that there was an outbox, and takes nothing.
    const directory = '/var/lib/private/ultravox-relay'
    shell(`systemctl stop ${SOCKET} ${UNIT}; mkdir ${directory}/aside; mv ${directory}/relay.db* ${directory}/aside`)
    const before = await taken()
    systemctl('start', SOCKET)
    await eventually(() => shown('Result') === 'exit-code', 'it does not start')
    t.equal(await taken(), before)
    systemctl('stop', SOCKET, UNIT)

    // As documented.
    shell(`mv ${directory}/aside/relay.db* ${directory}`)
    const [stop, , start] = commandsAfter('To restore a backup').slice(NPM.length).split('\n') as [
      string,
      string,
      string,
    ]
    shell(stop)
    t.match(restore('/var/lib/backup.db'), /restored; the one it replaced is kept in/)
    shell(start)
    await eventually(async () => (await taken()) > before + 20, 'it takes requests again')
    await load.end()
    t.ok(events() >= inBackup, 'what the backup has is there')
    t.equal(shell(`ls -d ${directory}/relay.db-replaced-*`).split('\n').length, 1)
    systemctl('stop', SOCKET, UNIT)
  })

  await t.test('a configuration that is wrong is not tried again and again', async (t) => {
    write(CONFIG, 'sources: {')
    t.throws(() => systemctl('start', UNIT))
    t.equal(shown('ActiveState'), 'failed')
    t.equal(shown('ExecMainStatus'), '2')
  })
})
