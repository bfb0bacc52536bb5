import { chmodSync, mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createAlerts } from '../src/alerts/alerts.ts'
import { startWatches } from '../src/alerts/watches.ts'
import { watchCertificate, watchLifetimes } from '../src/certificate-watch.ts'
import { readCertificate } from '../src/config/certificate-files.ts'
import type { ServerTlsConfig } from '../src/config/config.ts'
import type { Requests } from '../src/config/reader-protocol.ts'
import { certificateOf } from '../src/config/server-tls.ts'
import type { CertificateFacts } from '../src/domain/certificate.ts'
import { Secret } from '../src/domain/secret.ts'
import { HandSchedule } from './alerts/hand-schedule.ts'
import { INTERMEDIATE, LEAF, LEAF_KEY, RENEWED, RENEWED_KEY, ROOT, WEAK, WEAK_KEY } from './config/trial-chain.ts'
import { EXPIRED, NOT_YET_VALID, TRIAL_KEY } from './targets/trial-certificates.ts'

const LOOK = 2_000
const MINUTE = 60_000

function alertsOf(time: HandSchedule) {
  const said: { event: string; message: string }[] = []
  const alerts = createAlerts({
    async record({ body }) {
      said.push(JSON.parse(body.toString()))
    },
    route: async () => [],
    newEventId: () => 'evt',
    clock: time.clock,
    schedule: time.schedule,
    log: { notRecorded: () => {}, unwatched: () => {} },
  })
  return { said, report: alerts.report }
}

/** A watch over files that hold LEAF at first. */
function watching(t: Test, certFile: string, keyFile: string) {
  const time = new HandSchedule()
  const { said, report } = alertsOf(time)
  const tls: ServerTlsConfig = {
    cert: new Secret(LEAF),
    key: new Secret(LEAF_KEY),
    minVersion: 'TLSv1.2',
    certFile,
    keyFile,
  }
  const state = { served: LEAF, problem: null as string | null, logged: [] as string[] }
  const watch = watchCertificate(tls, {
    // Without the process that reads them for the relay, so that each look is over when its time has passed.
    reader: { ask: async (_, request) => readCertificate(request as Requests['certificate']) as never },
    show: ({ cert }) => {
      state.served = cert.reveal()
    },
    hosts: ['relay.example.com'],
    onLook: (problem) => {
      state.problem = problem
    },
    clock: time.clock,
    report,
    log: {
      renewed: ({ subject }, warnings) => state.logged.push([`renewed ${subject}`, ...warnings].join(': ')),
      unusable: (problem) => state.logged.push(problem),
    },
  })
  const stop = startWatches([watch], time.schedule, (_, error) => t.fail(String(error)))
  t.teardown(stop)
  return { state, said, time, look: () => time.pass(LOOK), events: () => said.map(({ event }) => event) }
}

function filesIn(directory: string) {
  const [certFile, keyFile] = [join(directory, 'cert.pem'), join(directory, 'key.pem')]
  const write = (cert: string, key: string) => {
    writeFileSync(certFile, cert)
    writeFileSync(keyFile, key)
  }
  write(LEAF, LEAF_KEY)
  return { certFile, keyFile, write }
}

t.test('certificate and key that arrive at different moments are served together, without an alert', async (t) => {
  const { certFile, keyFile } = filesIn(t.testdir())
  const { state, look, events } = watching(t, certFile, keyFile)
  await look()
  t.same(state.logged, [])
  writeFileSync(certFile, RENEWED)
  await look()
  t.equal(state.served, LEAF)
  t.match(state.problem, /key does not belong/)
  writeFileSync(keyFile, RENEWED_KEY)
  await look()
  t.equal(state.served, RENEWED)
  t.equal(state.problem, null)
  t.match(state.logged, [/does not belong/, /^renewed relay\.example\.com: comes alone.*"Trial intermediate"/])
  writeFileSync(certFile, RENEWED + INTERMEDIATE + ROOT)
  await look()
  t.equal(state.logged.at(-1), 'renewed relay.example.com')
  t.same(events(), [])
})

t.test('files that stay unusable raise one alert, and one more when they are loaded', async (t) => {
  const directory = t.testdir({ private: {} })
  const { certFile, write } = filesIn(directory)
  const keyFile = join(directory, 'private', 'key.pem')
  writeFileSync(keyFile, LEAF_KEY)
  const { state, time, look, said, events } = watching(t, certFile, keyFile)
  await look()
  // A directory above the key that cannot be entered: nothing about the files themselves changes with it.
  write(RENEWED, '')
  writeFileSync(keyFile, RENEWED_KEY)
  renameSync(join(directory, 'private'), join(directory, 'elsewhere'))
  for (let looks = 0; looks < 20; looks += 1) await look()
  t.equal(state.served, LEAF)
  t.same(events(), ['relay.certificate.reload_failed'])
  t.match(said[0]!.message, /server\.tls .*cannot be read.*previous certificate is still served.*2120/)
  t.equal(state.logged.length, 1, 'logged once')
  renameSync(join(directory, 'elsewhere'), join(directory, 'private'))
  await look()
  t.equal(state.served, RENEWED)
  await time.pass(10 * MINUTE)
  t.same(events(), ['relay.certificate.reload_failed', 'relay.certificate.reloaded'])
})

t.test('a key whose mode is fixed is loaded, though its content and times stay', async (t) => {
  if (process.getuid?.() === 0) return t.comment('root may read everything')
  const { certFile, keyFile, write } = filesIn(t.testdir())
  const { state, look } = watching(t, certFile, keyFile)
  await look()
  write(RENEWED, RENEWED_KEY)
  chmodSync(keyFile, 0)
  await look()
  t.equal(state.served, LEAF)
  chmodSync(keyFile, 0o600)
  await look()
  t.equal(state.served, RENEWED)
})

t.test('renewals of certbot and Kubernetes by links are seen', async (t) => {
  const directory = t.testdir({
    archive: { 'cert1.pem': LEAF, 'key1.pem': LEAF_KEY, 'cert2.pem': RENEWED, 'key2.pem': RENEWED_KEY },
    secret: {
      '..1': { 'tls.crt': LEAF, 'tls.key': LEAF_KEY },
      '..2': { 'tls.crt': RENEWED, 'tls.key': RENEWED_KEY },
    },
    live: {},
  })
  const at = (...path: string[]) => join(directory, ...path)
  const relink = (to: string, link: string) => {
    symlinkSync(to, `${link}.new`)
    renameSync(`${link}.new`, link)
  }
  relink('../archive/cert1.pem', at('live', 'cert.pem'))
  relink('../archive/key1.pem', at('live', 'key.pem'))
  const certbot = watching(t, at('live', 'cert.pem'), at('live', 'key.pem'))
  await certbot.look()
  relink('../archive/key2.pem', at('live', 'key.pem'))
  await certbot.look()
  t.equal(certbot.state.served, LEAF)
  relink('../archive/cert2.pem', at('live', 'cert.pem'))
  await certbot.look()
  t.equal(certbot.state.served, RENEWED)

  relink('..1', at('secret', '..data'))
  relink('..data/tls.crt', at('secret', 'tls.crt'))
  relink('..data/tls.key', at('secret', 'tls.key'))
  const kubernetes = watching(t, at('secret', 'tls.crt'), at('secret', 'tls.key'))
  await kubernetes.look()
  relink('..2', at('secret', '..data'))
  rmSync(at('secret', '..1'), { recursive: true })
  await kubernetes.look()
  t.equal(kubernetes.state.served, RENEWED)
  t.same([...certbot.events(), ...kubernetes.events()], [])
  // And again, by a directory of its own each time.
  mkdirSync(at('secret', '..3'))
  writeFileSync(at('secret', '..3', 'tls.crt'), LEAF)
  writeFileSync(at('secret', '..3', 'tls.key'), LEAF_KEY)
  relink('..3', at('secret', '..data'))
  await kubernetes.look()
  t.equal(kubernetes.state.served, LEAF)
})

t.test('a change that keeps size and time of a file is seen', async (t) => {
  const { certFile, keyFile, write } = filesIn(t.testdir())
  const then = new Date(2020, 0, 1)
  const padded = (text: string) => text.padEnd(2_000, '\n')
  write(padded(LEAF), padded(LEAF_KEY))
  const age = () => {
    for (const file of [certFile, keyFile]) utimesSync(file, then, then)
  }
  age()
  const { state, look } = watching(t, certFile, keyFile)
  await look()
  write(padded(RENEWED), padded(RENEWED_KEY))
  age()
  await look()
  t.equal(state.served, RENEWED)
})

t.test('a valid certificate is not replaced by one that is worse', async (t) => {
  const { certFile, keyFile, write } = filesIn(t.testdir())
  const { state, look } = watching(t, certFile, keyFile)
  for (const [cert, key, words] of [
    [EXPIRED, TRIAL_KEY, /expired at .*previous one is valid/],
    [NOT_YET_VALID, TRIAL_KEY, /not valid before/],
    [WEAK, WEAK_KEY, /rejected by OpenSSL/],
    [LEAF.slice(0, 300), LEAF_KEY, /no sound certificate/],
  ] as const) {
    write(cert, key)
    await look()
    t.match(state.problem, words)
    t.equal(state.served, LEAF)
  }
  write(RENEWED, RENEWED_KEY)
  await look()
  t.equal(state.served, RENEWED)
})

t.test('what is in use is watched until its end, and the last alert is true', async (t) => {
  const time = new HandSchedule()
  const { said, report } = alertsOf(time)
  const start = time.clock.now()
  const lasting = (days: number): CertificateFacts => {
    return { ...certificateOf(new Secret(LEAF))!, notBefore: start, notAfter: start + days * 24 * 60 * MINUTE }
  }
  const inUse = [
    { place: 'server.tls', facts: lasting(6) },
    { place: 'targets.crm.tls', facts: lasting(90) },
  ] as const
  const state = { inUse: [...inUse] as { place: 'server.tls' | 'targets.crm.tls'; facts: CertificateFacts }[] }
  const watch = watchLifetimes({ inUse: () => state.inUse, clock: time.clock, report })
  t.teardown(startWatches([watch], time.schedule, (_, error) => t.fail(String(error))))
  const events = () => said.splice(0).map(({ event }) => event.replace('relay.certificate.', ''))
  const toDay = async (day: number) => {
    time.moveClock(start + day * 24 * 60 * MINUTE - time.clock.now())
    await time.pass(10 * MINUTE)
  }
  await toDay(4)
  t.same(events(), [])
  await toDay(5)
  t.match(said, [{ message: /server\.tls \("relay\.example\.com"\) expires at .*loads the new files by itself/ }])
  t.same(events(), ['expiring'])
  await toDay(6)
  t.match(said, [{ message: /expired at .*Ultravox and other clients reject/ }])
  t.same(events(), ['expired'])
  state.inUse[0] = { place: 'server.tls', facts: lasting(80) }
  await time.pass(10 * MINUTE)
  t.same(events(), ['renewed'])
  await toDay(73)
  t.match(
    said.find(({ message }) => message.includes('targets.crm.tls')),
    { event: 'relay.certificate.expiring', message: /ultravox-relay reload/ },
  )
})
