import { existsSync, statSync, writeFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { retriesEndAt } from '../../src/cli/rotation-wait.ts'
import { startRelay } from '../daemon/relay-process.ts'
import { startCommand } from '../daemon/terminal.ts'
import { eventually } from '../eventually.ts'
import type { FakeRequest } from './fake-api.ts'
import { EVENTS, fingerprint, start, URL_WANTED, webhookRelay } from './webhook-relay.ts'

// What rotations do most is wait.
t.jobs = 3
t.setTimeout(180_000)

/** The shortest that a rotation can wait. */
const ROTATE = 'webhooks rotate-secret --overlap 0s'

/** A webhook that is signed with the old secret, which the relay has in its file. */
async function rotatable(t: Test, source: object = { tolerance: '1s' }) {
  const relay = await webhookRelay(t, { secrets: ['old-secret-of-the-relay'], source, ownProcesses: true })
  const { webhookId } = relay.api.webhooks.create({
    url: URL_WANTED,
    events: EVENTS,
    secrets: ['old-secret-of-the-relay'],
  })
  const state = `${relay.secretsFile}.rotation`
  const rotated = (t: Test) => {
    const [fresh] = relay.inFile()
    t.match(relay.inFile(), [/^whsec_[\w-]{43}$/], 'the file has the new secret alone')
    t.same(relay.api.webhooks.get(webhookId)!.secrets, [fresh], 'and Ultravox too')
    t.equal(statSync(relay.secretsFile).mode & 0o777, 0o600)
    t.notOk(existsSync(state), 'nothing is left of the rotation')
    t.same(relay.told('old-secret-of-the-relay'), [], 'no secret was told')
  }
  return { ...relay, webhookId, state, rotated }
}

t.test('a rotation under a stream of webhooks loses none, and none is refused', async (t) => {
  const { api, run, json, write, webhookId, rotated, state } = await rotatable(t, { tolerance: '2s' })
  const relay = await startRelay(t, write(URL_WANTED))
  const url = `${relay.origin}/webhooks/ultravox`
  write(url)
  api.webhooks.patch(webhookId, { url })
  const modes: number[] = []
  api.beforeAnswer(() => {
    if (existsSync(state)) modes.push(statSync(state).mode & 0o777)
  })
  let ended = false
  const rotation = run(`${ROTATE} --yes`).finally(() => {
    ended = true
  })
  const statuses: (number | null)[] = []
  while (!ended) {
    api.calls.end(api.calls.create())
    statuses.push(...(await api.webhooks.sendAll()).map(({ status }) => status))
  }
  const { code, stdout, stderr } = await rotation
  t.equal(code, 0, stderr)
  t.match(stdout, new RegExp(`^webhook ${webhookId} is signed with [0-9a-f]{8} only\n$`))
  const steps = stderr.split('\n').filter((line) => / of 6: /.test(line))
  t.match(steps, [/^1.*is in/, /^2.*running relay/, /^3/, /^4.*(waiting|has come)/])
  t.match(steps.at(-1), /^6/)
  api.calls.end(api.calls.create())
  statuses.push(...(await api.webhooks.sendAll()).map(({ status }) => status))
  t.ok(statuses.length > 10)
  t.same(new Set(statuses), new Set([204]))
  t.same((await json('rejections list')).rejections, [])
  t.same(new Set(modes), new Set([0o600]))
  t.match((await json('status')).daemon.secrets, { ultravox: [/^[0-9a-f]{8}$/] })
  rotated(t)
})

t.test('without an event it waits, Ctrl-C loses nothing, and --after goes on', async (t) => {
  const { directory, run, inFile, registered, rotated, state } = await rotatable(t)
  const waiting = startCommand(t, `${ROTATE} --yes`, directory)
  await eventually(() => waiting.output().includes('4 of 6: waiting for an event signed'), 'it waits')
  t.match(waiting.output(), /2 of 6: no relay is running/)
  t.equal(await waiting.interrupt(), 1)
  t.match(waiting.output(), /interrupted: both secrets are good.*run rotate-secret again/)
  t.equal(inFile().length, 2)
  t.same(registered()[0].secrets, inFile())
  t.ok(existsSync(state))
  t.match(await run(`${ROTATE} --dry-run`), {
    code: 0,
    stdout: '',
    stderr: new RegExp(
      `goes on: ${fingerprint(inFile()[1]!)} \\(registered since .*takes the place of ${fingerprint('old-secret-of-the-relay')}`,
    ),
  })
  t.match(await run(`${ROTATE} --yes --after 0s`), { code: 0, stderr: /4 of 6: 0s are over/ })
  rotated(t)
})

t.test('--abort leads back to the old secret, and only as long as that is possible', async (t) => {
  const { directory, run, inFile, registered, state, api, webhookId } = await rotatable(t)
  t.match(await run(`${ROTATE} --abort --yes`), { code: 3, stderr: /no rotation is under way/ })
  const waiting = startCommand(t, `${ROTATE} --yes`, directory)
  await eventually(() => waiting.output().includes('4 of 6'), 'it waits')
  await waiting.interrupt()
  const [, fresh] = inFile()
  api.webhooks.patch(webhookId, { secrets: [fresh!] })
  t.match(await run(`${ROTATE} --abort --yes`), { code: 2, stderr: /gone at Ultravox already/ })
  t.equal(inFile().length, 2)
  api.webhooks.patch(webhookId, { secrets: ['old-secret-of-the-relay', fresh!] })
  t.match(await run(`${ROTATE} --abort --yes`), { code: 0, stdout: 'the rotation is undone\n' })
  t.same(inFile(), ['old-secret-of-the-relay'])
  t.same(registered()[0].secrets, ['old-secret-of-the-relay'])
  t.notOk(existsSync(state))
})

t.test('killed at any request, before or after its effect, it ends right when it is run again', async (t) => {
  const isPatch = ({ method }: FakeRequest) => method === 'PATCH'
  const all = [3, 4, 5, 6, 7, 8, 9].map((request) => ({ request, effect: false }))
  const points = [
    ...(process.env.ALL_CASES ? all : all.slice(1, 2)),
    ...[4, 7].map((request) => ({ request, effect: true })),
  ]
  t.jobs = 4
  const killed = points.map(({ request, effect }) =>
    t.test(`request ${request}, ${effect ? 'after' : 'before'} its effect`, async (t) => {
      const { api, directory, run, inFile, registered, rotated } = await rotatable(t)
      /** Whatever Ultravox signs with, the relay can check. */
      const unknown = () => registered().filter(({ secrets }) => !inFile().some((each) => secrets.includes(each)))
      const { child, ended } = start(t, `${ROTATE} --yes --after 0s`, directory)
      const first = api.requests.length
      let at: FakeRequest | undefined
      api.beforeAnswer((now) => {
        t.same(unknown(), [])
        if (api.requests.length - first !== request) return
        at = now
        if (!effect) child.kill('SIGKILL')
      })
      // The effect is there, its answer is not.
      if (effect)
        api.misbehave({ kind: 'stall' }, { when: (each) => isPatch(each) && api.requests.length - first === request })
      await eventually(() => at !== undefined, 'it has come so far')
      child.kill('SIGKILL')
      await ended
      t.equal(isPatch(at!), request === 4 || request === 7)
      await eventually(() => !effect || registered()[0].secrets.length === (request === 4 ? 2 : 1), 'the effect')
      t.same(unknown(), [])
      const again = await run(`${ROTATE} --yes --after 0s`)
      t.equal(again.code, 0, again.stderr)
      t.same(unknown(), [])
      rotated(t)
    }),
  )
  await Promise.all(killed)
})

t.test(
  'killed between the state and the file, it makes another secret; a file put back gets its own again',
  async (t) => {
    const { run, state, rotated, webhookId, api, inFile, secretsFile, directory } = await rotatable(t)
    const written = {
      webhookId,
      newSecret: '0badf00d',
      oldSecrets: [fingerprint('old-secret-of-the-relay')],
      startedAt: '2026-01-01T00:00:00.000Z',
      registeredAt: null,
    }
    writeFileSync(state, JSON.stringify(written))
    const waiting = startCommand(t, `${ROTATE} --yes`, directory)
    await eventually(() => waiting.output().includes('4 of 6'), 'it waits')
    await waiting.interrupt()
    const fresh = inFile()[1]!
    t.not(fingerprint(fresh), '0badf00d')
    writeFileSync(secretsFile, 'old-secret-of-the-relay\n')
    t.match(await run(`${ROTATE} --yes --after 0s`), { code: 0 })
    t.same(api.webhooks.get(webhookId)!.secrets, [fresh])
    rotated(t)

    writeFileSync(state, '{"webhookId":')
    t.match(await run(`${ROTATE} --yes`), { code: 2, stderr: /is no state of a rotation: remove it/ })
  },
)

t.test('what is not ours stays, and what cannot be removed here is told', async (t) => {
  const { run, api, webhookId, inFile, registered } = await webhookRelay(t, {
    secrets: ['in-file-of-the-relay', 'shared-with-another', 'of-callbacks-of-calls'],
    source: { secrets: ['in-config-of-the-relay'], tolerance: '1s' },
    ownProcesses: true,
  }).then((relay) => {
    const secrets = ['in-file-of-the-relay', 'shared-with-another', 'in-config-of-the-relay', 'foreign']
    const { webhookId } = relay.api.webhooks.create({ url: URL_WANTED, events: EVENTS, secrets })
    return { ...relay, webhookId }
  })
  api.webhooks.create({ url: 'https://other.test/', events: EVENTS, secrets: ['shared-with-another'] })
  const { code, stderr } = await run(`${ROTATE} --yes --after 0s`)
  t.equal(code, 0, stderr)
  t.match(stderr, new RegExp(`kept at Ultravox.*${fingerprint('foreign')}\n`))
  t.match(stderr, new RegExp(`now remove ${fingerprint('in-config-of-the-relay')} from sources\\.ultravox\\.secrets`))
  t.match(stderr, new RegExp(`still takes ${fingerprint('shared-with-another')}, for another webhook`))
  t.match(inFile(), ['shared-with-another', 'of-callbacks-of-calls', /^whsec_/])
  t.same(registered()[0].secrets, ['foreign', inFile()[2]])
  t.equal(registered()[0].webhookId, webhookId)
})

t.test('a relay that cannot take the new secret keeps the rotation from going on', async (t) => {
  const { run, write, registered, rotated } = await rotatable(t)
  await startRelay(t, write(URL_WANTED))
  write(URL_WANTED, {
    delivery: { alertAfter: '1 fortnight' },
  })
  t.match(await run(`${ROTATE} --yes --after 0s`), { code: 2, stderr: /alertAfter/ })
  write(URL_WANTED)
  t.same(registered()[0].secrets, ['old-secret-of-the-relay'])
  t.match(await run(`${ROTATE} --yes --after 0s`), { code: 0 })
  rotated(t)
})

t.test('what failed before the new secret was registered may come again for nine hours', async (t) => {
  const at = (hours: number) => ({ at: hours * 3_600_000, failure: 'HTTP 503' })
  const webhook = (...recentFailures: { at: number | null; failure: string }[]) => ({ recentFailures }) as never
  t.equal(retriesEndAt(webhook(), 0), 0)
  t.equal(retriesEndAt(webhook(at(3), at(5), at(12)), at(10).at), at(14).at)
  t.equal(retriesEndAt(webhook(at(12)), at(10).at), 0)
  t.equal(retriesEndAt(webhook({ at: null, failure: '' }), at(10).at), at(19).at, 'one whose time is unknown')
})

t.test('a provider that hides or masks secrets is refused, and nothing is changed', async (t) => {
  const { api, run, inFile, changes, state } = await rotatable(t)
  const views: ((secrets: string[]) => string[] | null)[] = [
    () => [],
    () => null,
    (secrets) => secrets.map((secret) => `${secret.slice(0, 3)}•••`),
    (secrets) => secrets.map(() => '********'),
    (secrets) => [...secrets, 'whsec_...'],
  ]
  for (const view of views) {
    api.webhooks.shown = (webhook) => ({ ...webhook, secrets: view(webhook.secrets) })
    t.match(await run(`${ROTATE} --yes --after 0s`), {
      code: 2,
      stderr: /does not show the secrets of the webhook 2222/,
    })
  }
  api.webhooks.shown = (webhook) => ({ ...webhook, secrets: ['another'] })
  t.match(await run(`${ROTATE} --yes`), { code: 2, stderr: /signed with none of the source's secrets: run .* ensure/ })
  t.same(inFile(), ['old-secret-of-the-relay'])
  t.same(changes(), [])
  t.notOk(existsSync(state))
})

t.test('a provider that transforms secrets gets the former ones back, and the relay keeps all', async (t) => {
  const { api, run, inFile, registered, webhookId, rotated, told } = await rotatable(t)
  api.webhooks.kept = (secret) => (secret === 'old-secret-of-the-relay' ? secret : secret.toUpperCase())
  t.match(await run(`${ROTATE} --yes --after 0s`), {
    code: 1,
    stderr: /other secrets than it was given \(given .*\), so .*: the former ones are registered again.*--abort/s,
  })
  t.same(registered()[0].secrets, ['old-secret-of-the-relay'])
  t.equal(inFile().length, 2)
  t.same(told('old-secret-of-the-relay'), [])
  t.match(await run(`${ROTATE} --abort --yes`), { code: 0 })
  t.same(inFile(), ['old-secret-of-the-relay'])
  api.webhooks.kept = (secret) => secret
  t.match(await run(`${ROTATE} --yes --after 0s`), { code: 0 })
  t.equal(api.webhooks.get(webhookId)!.secrets.length, 1)
  rotated(t)
})

t.test('webhooks rejected since the new secret was registered keep the old one registered', async (t) => {
  const { api, directory, run, write, inFile, registered, webhookId, rotated } = await rotatable(t)
  await startRelay(t, write(URL_WANTED))
  const waiting = startCommand(t, `${ROTATE} --yes`, directory)
  await eventually(() => waiting.output().includes('4 of 6'), 'it waits')
  Object.assign(api.webhooks.get(webhookId)!, {
    recentFailures: [{ timestamp: new Date().toISOString(), failure: 'HTTP 401' }],
  })
  t.match(await run('status'), { stdout: /^rotation secret of webhook 2222\S+ begun .*rotate-secret --abort$/m })
  t.match(await run(`${ROTATE} --yes`), { code: 2, stderr: /another webhooks rotate-secret is running/ })
  await waiting.interrupt()
  t.match(await run(`${ROTATE} --yes --after 0s`), {
    code: 1,
    stderr: /a webhook rejected since .*: HTTP 401\. The old/,
  })
  t.same(registered()[0].secrets, inFile())
  t.match(
    (await run('doctor')).stdout,
    /warning +rotation +.* is unfinished: the new secret is registered.*\n.*--abort/,
  )
  t.match(await run(`${ROTATE} --yes --after 0s --despite-failures`), { code: 0 })
  rotated(t)
})
