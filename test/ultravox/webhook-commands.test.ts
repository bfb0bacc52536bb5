import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { startRelay } from '../daemon/relay-process.ts'
import { EVENTS, fingerprint, URL_WANTED, webhookRelay } from './webhook-relay.ts'

t.test('ensure makes a secret and the webhook, and a second time finds nothing to do', async (t) => {
  const { run, registered, inFile, secretsFile, told, changes } = await webhookRelay(t)
  t.match(await run('check'), { code: 2, stderr: /no such file: .*webhooks ensure/ })
  t.match(await run('webhooks ensure --dry-run'), {
    code: 0,
    stdout:
      /^\+ webhook https:\/\/relay\.test\/webhooks\/ultravox, calls of all agents\n\+ {3}event call\.started\n.*\+ {3}secret new\n/s,
  })
  t.notOk(existsSync(secretsFile))
  t.match(await run('webhooks ensure'), { code: 2, stdout: /\+ webhook/, stderr: /say --yes/ })
  t.same(changes(), [])

  t.match(await run('webhooks ensure --yes'), { code: 0, stdout: /\nwebhook 2222\S+ is created\n$/ })
  const [webhook] = registered()
  t.match(webhook, { url: URL_WANTED, agentId: null, events: EVENTS, secrets: inFile() })
  t.match(inFile(), [/^whsec_[\w-]{43}$/])
  t.equal(statSync(secretsFile).mode & 0o777, 0o600)
  t.match(await run('check'), { code: 0, stderr: '' })

  t.match(await run('webhooks ensure'), {
    code: 0,
    stdout: /^nothing to do: webhook 2222\S+ is as configured\n$/,
    stderr: '',
  })
  t.same(changes(), ['POST'])
  t.same(told(), [])
})

t.test('ensure changes what differs and nothing else', async (t) => {
  const { api, run, json, registered, told } = await webhookRelay(t, {
    secrets: ['ours-1-of-the-relay', 'ours-2-of-the-relay'],
  })
  const other = { url: 'https://other.test/', events: ['call.ended'], secrets: ['theirs'] }
  api.webhooks.create(other)
  api.webhooks.create({ url: URL_WANTED, events: ['call.ended', 'call.other'], secrets: ['foreign'] })
  t.match((await run('webhooks ensure --yes')).stdout.split('\n'), [
    /^~ webhook 2222\S+002$/,
    '-   event call.other',
    '+   event call.started',
    '+   event call.joined',
    '+   event call.billed',
    `+   secret ${fingerprint('ours-1-of-the-relay')}`,
    `+   secret ${fingerprint('ours-2-of-the-relay')}`,
    /is changed$/,
  ])
  t.match(registered(), [
    other,
    { url: URL_WANTED, events: EVENTS, secrets: ['foreign', 'ours-1-of-the-relay', 'ours-2-of-the-relay'] },
  ])
  t.same(JSON.parse(api.requests.at(-1)!.body), {
    events: EVENTS,
    secrets: ['foreign', 'ours-1-of-the-relay', 'ours-2-of-the-relay'],
  })
  t.match(await json('webhooks ensure --yes'), { action: 'none', changes: [] })
  t.same(told(), [])
})

t.test('a webhook elsewhere that shares the secret is another’s, unless its id is given', async (t) => {
  const { api, run, registered, changes } = await webhookRelay(t, { secrets: ['ours-of-the-relay'] })
  const { webhookId } = api.webhooks.create({
    url: 'https://old.test/?key=hidden',
    events: EVENTS,
    secrets: ['ours-of-the-relay'],
  })
  t.match(await run('webhooks delete --configured --yes'), { code: 3, stderr: /no webhook to https:\/\/relay\.test/ })
  t.match(await run('webhooks rotate-secret --yes --after 1s'), { code: 3, stderr: /webhooks ensure/ })
  t.notMatch((await run('webhooks list')).stdout, '*')
  const shown = await run('webhooks ensure --dry-run')
  t.match(shown.stderr, new RegExp(`${webhookId} to https://old\\.test/\\?… is .* webhooks ensure --id ${webhookId}\n`))
  t.notMatch(shown.stderr, 'hidden')
  t.same(changes(), [])
  t.match(await run('webhooks ensure --yes'), { code: 0, stdout: /is created/, stderr: new RegExp(webhookId) })
  t.match(registered(), [{ url: 'https://old.test/?key=hidden' }, { url: URL_WANTED }])
  t.match(await run('webhooks delete --configured --yes'), { code: 0, stdout: /is deleted/ })

  const moved = await run('webhooks ensure --yes --id', webhookId)
  t.equal(moved.stderr.includes('stays'), false)
  t.match(moved.stdout, /\n- {3}url https:\/\/old\.test\/\?…\n\+ {3}url https:\/\/relay\.test/)
  t.notMatch(moved.stdout, 'hidden')
  t.match(registered(), [{ url: URL_WANTED }])
  t.same(JSON.parse(api.requests.at(-1)!.body), { url: URL_WANTED })
})

t.test('where several webhooks may be meant, it is asked which', async (t) => {
  const { api, run } = await webhookRelay(t, { secrets: ['ours-of-the-relay'] })
  const { webhookId } = api.webhooks.create({ url: URL_WANTED, events: EVENTS, secrets: ['ours-of-the-relay'] })
  api.webhooks.create({ url: URL_WANTED, events: EVENTS, secrets: ['ours-of-the-relay'] })
  t.match(await run('webhooks ensure --yes'), {
    code: 2,
    stderr: new RegExp(`(${webhookId}, 2222|2222\\S+, ${webhookId}).*--id`),
  })
  t.match(await run('webhooks delete --configured --yes'), {
    code: 2,
    stderr: /several webhooks.*say which by its id, in place/,
  })
  t.match(await run('webhooks ensure --yes --id', webhookId), { code: 0, stdout: /nothing to do/ })
  t.match(await run('webhooks ensure --yes --id nowhere'), { code: 3, stderr: /no webhook nowhere/ })
})

t.test('a creation whose answer got lost is not done twice', async (t) => {
  const { api, run, registered, inFile } = await webhookRelay(t)
  api.misbehave({ kind: 'cut' }, { when: ({ method }) => method === 'POST' })
  t.match(await run('webhooks ensure --yes'), { code: 0, stdout: /is created/ })
  t.equal(registered().length, 1)
  api.webhooks.delete(registered()[0].webhookId)
  api.misbehave({ kind: 'drop' }, { when: ({ method }) => method === 'POST' })
  t.match(await run('webhooks ensure --yes'), { code: 1, stderr: /may have been done/ })
  t.equal(registered().length, 0)
  t.match(await run('webhooks ensure --yes'), { code: 0, stdout: /is created/ })
  t.match(registered(), [{ secrets: inFile() }])
})

t.test('the running relay is given the secret before Ultravox is', async (t) => {
  const { api, directory, run, write, inFile } = await webhookRelay(t, { source: { secrets: ['first-of-the-relay'] } })
  api.webhooks.create({ url: URL_WANTED, events: EVENTS, secrets: ['first-of-the-relay'] })
  // So that the relay can start; then the configuration goes over to the file.
  const inline = { sources: { ultravox: { scheme: 'ultravox', secrets: ['first-of-the-relay'] } } }
  await startRelay(t, write(URL_WANTED, inline))
  write(URL_WANTED, { sources: { ultravox: { scheme: 'ultravox', secretsFile: './ultravox.secrets' } } })
  const database = openDatabase(join(directory, 'relay.db'), { readonly: true })
  t.teardown(() => database.close())
  let knownAtPatch: unknown
  api.beforeAnswer(({ method }) => {
    // What the relay says of itself once it goes by a configuration.
    if (method === 'PATCH') knownAtPatch = database.prepare('select reloads, secrets from daemon_state').get()
  })
  t.match(await run('webhooks ensure --yes'), { code: 0, stdout: /is changed/ })
  t.same(knownAtPatch, { reloads: 1, secrets: JSON.stringify({ ultravox: inFile().map(fingerprint) }) })
  t.equal(inFile().length, 1)

  write(URL_WANTED, { sources: { ultravox: { scheme: 'ultravox', secrets: ['second-of-the-relay'] } } })
  api.webhooks.patch(JSON.parse(api.webhooks.entries()[0]!.text).webhookId, { secrets: ['second-of-the-relay'] })
  t.match(await run('webhooks ensure'), {
    code: 0,
    stdout: /nothing to do/,
    stderr: /^warning: the running relay has none/,
  })
})

t.test('list tells of each webhook what it is, and of secrets only which are ours', async (t) => {
  const url = `${URL_WANTED}?k=hidden`
  const { api, run, json, told } = await webhookRelay(t, { secrets: ['key-1'], webhook: { url } })
  t.match(await run('webhooks list'), { code: 0, stdout: '', stderr: 'no webhooks\n' })
  const { webhookId } = api.webhooks.create({
    url,
    events: EVENTS,
    secrets: ['key-1', 'key-2'],
  })
  api.webhooks.setStatus(webhookId, 'unhealthy')
  api.webhooks.create({ url: 'https://other.test/', events: ['call.ended'], agentId: 'a\u001b[2J' })
  Object.assign(api.webhooks.get(webhookId)!, {
    recentFailures: [{ timestamp: '2026-01-01T00:00:00Z', failure: 'HTTP 500\n\u001b[2J' }],
  })
  const { stdout } = await run('webhooks list')
  t.match(stdout, new RegExp(`\\n\\* +${webhookId} .* unhealthy +2, ours ${fingerprint('key-1')} +1, .* ago: HTTP 500`))
  t.match(stdout, /\n +2222\S+ +https:\/\/other\.test\/ .*call\.ended +normal +1, none ours\n/)
  t.notMatch(stdout, 'hidden')
  t.notMatch(stdout, '\u001b')
  t.match((await json('webhooks list')).webhooks, [
    { configured: false, status: 'normal' },
    {
      webhookId,
      configured: true,
      url: `${URL_WANTED}?…`,
      secrets: [
        { fingerprint: fingerprint('key-1'), ours: true },
        { fingerprint: fingerprint('key-2'), ours: false },
      ],
      recentFailures: [{ at: '2026-01-01T00:00:00.000Z' }],
    },
  ])
  t.same(told(), [])
})

t.test('delete shows what it is, and ends with 3 where there is none', async (t) => {
  const { api, run, registered, changes } = await webhookRelay(t, { secrets: ['ours-of-the-relay'] })
  const { webhookId } = api.webhooks.create({ url: 'https://other.test/', events: EVENTS })
  t.match(await run('webhooks delete', webhookId), {
    code: 2,
    stderr: /2222\S+ to https:\/\/other\.test\/ \(call\.started.*say --yes/,
  })
  t.match(await run('webhooks delete --dry-run', webhookId), { code: 0, stdout: '', stderr: /would be deleted/ })
  t.same(changes(), [])
  t.match(await run('webhooks delete --dry-run 22222222-'), { code: 0, stderr: new RegExp(webhookId) })
  t.match(await run('webhooks delete --dry-run 2222'), { code: 3 })
  api.webhooks.create({ url: 'https://more.test/', events: EVENTS })
  t.match(await run('webhooks delete --yes 22222222-'), { code: 2, stderr: /ids of 2 webhooks begin/ })
  t.match(await run('webhooks delete --yes', webhookId), { code: 0, stdout: `${webhookId} is deleted\n` })
  t.match(await run('webhooks delete --yes', webhookId), { code: 3, stderr: /has no webhook 2222/ })
  t.match(await run('webhooks delete --configured --yes'), { code: 3, stderr: /no webhook to https:\/\/relay\.test/ })
  t.match(await run('webhooks delete --yes'), { code: 2, stderr: /its id, or --configured/ })
  t.match(registered(), [{ url: 'https://more.test/' }])
})

t.test('what is not configured, or cannot be had, is said with what to write', async (t) => {
  const none = await webhookRelay(t, { webhook: null, secrets: ['ours-of-the-relay'] })
  for (const command of ['ensure --yes', 'rotate-secret --yes', 'delete --configured --yes']) {
    t.match(await none.run(`webhooks ${command}`), {
      code: 2,
      stdout: '',
      stderr: /webhook: \{ url: .*source: ultravox/,
    })
  }
  t.match(await none.run('webhooks list'), { code: 0 })
  const { run, write, changes } = await webhookRelay(t)
  write(URL_WANTED, { ultravox: undefined })
  t.match(await run('webhooks list'), { code: 2, stderr: /has no ultravox section.*apiKey:/s })
  write(URL_WANTED, { ultravox: { apiKey: '$' + '{NO_KEY}' } })
  t.match(await run('webhooks list'), { code: 2, stderr: /^relay\.yaml:\d+:\d+: ultravox\.apiKey: .*not set/ })
  write(URL_WANTED, { sources: { ultravox: { scheme: 'ultravox', secrets: ['$' + '{NO_SECRET}'] } } })
  t.match(await run('webhooks ensure --yes'), { code: 2, stderr: /secrets\[0\]: .*not set/ })
  write(URL_WANTED, { sources: { ultravox: { scheme: 'ultravox', secrets: ['whsec_example_do_not_use'] } } })
  t.match(await run('webhooks ensure --yes'), { code: 2, stderr: /example secret/ })
  t.match(await run('webhooks rotate-secret --yes'), { code: 2, stderr: /write secretsFile: \.\/ultravox\.secrets/ })
  t.same(changes(), [])
})

const AGENT = '7f3a1c52-0d44-4b50-8888-8dd25736052a'

t.test('a webhook to the same URL for other agents is neither passed over nor doubled', async (t) => {
  const { api, run, json, registered, changes } = await webhookRelay(t, {
    secrets: ['ours-of-the-relay'],
    webhook: { agentId: AGENT },
  })
  const { webhookId } = api.webhooks.create({ url: URL_WANTED, events: EVENTS, secrets: ['ours-of-the-relay'] })
  for (const more of ['--yes', '--dry-run']) {
    t.match(await run(`webhooks ensure ${more}`), {
      code: 2,
      stderr: new RegExp(
        `webhook ${webhookId} is for the calls of all agents; ultravox.webhook wants the calls of agent ${AGENT}\nto change it: +ultravox-relay webhooks ensure --id ${webhookId}\n`,
      ),
    })
  }
  t.match(
    (await run('doctor')).stdout,
    new RegExp(`problem +ultravox +The webhook ${webhookId} .* is for the calls of all`),
  )
  t.same(changes(), [])

  // Both: the one that is wanted, and the one whose calls keep coming.
  t.match(await run('webhooks ensure --create --yes'), { code: 0, stdout: /is created/ })
  const own = registered().find((each) => each.agentId === AGENT)
  const nothing = await run('webhooks ensure --yes')
  t.match(nothing, { code: 1, stderr: new RegExp(`keep coming.*webhooks delete ${webhookId}`) })
  t.notMatch(nothing.stdout, 'nothing to do')
  t.match(await json('webhooks ensure'), { action: 'none', alsoToUrl: [{ webhookId, agentId: null }] })
  t.match((await run('doctor')).stdout, new RegExp(`webhooks delete ${webhookId}`))
  api.webhooks.delete(own.webhookId)

  t.match(await run('webhooks ensure --yes --id', webhookId), {
    code: 0,
    stdout: new RegExp(`- {3}agent all\n\\+ {3}agent ${AGENT}\n`),
  })
  t.match(registered(), [{ webhookId, agentId: AGENT }])
  t.same(JSON.parse(api.requests.at(-1)!.body), { agentId: AGENT })
  t.match(await run('webhooks ensure'), { code: 0, stdout: /nothing to do/ })
})

t.test('the other way round: a webhook for one agent is widened with its id', async (t) => {
  const { api, run, registered } = await webhookRelay(t, { secrets: ['ours-of-the-relay'] })
  const { webhookId } = api.webhooks.create({
    url: URL_WANTED,
    events: EVENTS,
    secrets: ['ours-of-the-relay'],
    agentId: AGENT,
  })
  t.match(await run('webhooks ensure --yes'), { code: 2, stderr: /wants the calls of all agents\nto change it/ })
  t.match(await run('webhooks ensure --yes --id', webhookId), { code: 0 })
  t.match(registered(), [{ webhookId, agentId: null }])
})

t.test('two that ensure at once leave one webhook, with their secrets', async (t) => {
  const one = await webhookRelay(t, { secrets: ['shared-of-the-relay'], ownProcesses: true })
  const both = await Promise.all([one.run('webhooks ensure --yes'), one.run('webhooks ensure --yes')])
  t.same(
    both.map(({ code }) => code),
    [0, 0],
    both.map(({ stderr }) => stderr).join(),
  )
  t.equal(one.registered().length, 1)
})

t.test('two on different machines, who both saw none, leave one', async (t) => {
  const { api, run, registered, inFile } = await webhookRelay(t)
  // The other one's creation comes between the look and ours, or between ours and the look after it.
  for (const isFirst of [true, false]) {
    const url = URL_WANTED.replace('https://relay', `https://RELAY`)
    let posted = false
    api.beforeAnswer(({ method }) => {
      if (posted || method !== (isFirst ? 'POST' : 'GET') || (!isFirst && registered().length === 0)) return
      posted = true
      api.webhooks.create({ url: `${url}/`, events: EVENTS, secrets: ['theirs'] })
    })
    t.match(await run('webhooks ensure --yes'), { code: 0, stderr: /was created at the same time and is deleted/ })
    t.equal(registered().length, 1)
    t.match(registered()[0].secrets, isFirst ? ['theirs', ...inFile()] : inFile())
    api.beforeAnswer(() => {})
    api.webhooks.delete(registered()[0].webhookId)
  }
})

t.test('a URL that Ultravox has normalised is the configured one', async (t) => {
  const { api, run, changes } = await webhookRelay(t, {
    secrets: ['ours-of-the-relay'],
    webhook: { url: 'https://relay.test/webhooks/ultravox/%7Ea' },
  })
  for (const url of ['https://RELAY.test:443/webhooks/ultravox/~a', 'https://relay.test/webhooks/ultravox/%7ea/']) {
    const { webhookId } = api.webhooks.create({ url, events: EVENTS, secrets: ['ours-of-the-relay'] })
    const { code, stdout, stderr } = await run('webhooks ensure')
    t.match({ code, stdout }, { code: 0, stdout: /nothing to do/ }, url)
    t.equal(stderr.includes('a path that ends in / into sources.ultravox.path'), url.endsWith('/'))
    api.webhooks.delete(webhookId)
  }
  t.same(changes(), [])
})

t.test('fields that are null, missing or unknown break no command, and an unknown status is not healthy', async (t) => {
  const { api, run, json } = await webhookRelay(t, { secrets: ['ours-of-the-relay'] })
  const { webhookId } = api.webhooks.create({ url: URL_WANTED, events: EVENTS, secrets: ['ours-of-the-relay'] })
  const odd = { recentFailures: null, agentId: undefined, lastStatusChange: undefined, created: null, more: { x: 1 } }
  api.webhooks.shown = (webhook) => ({ ...webhook, ...odd, status: 'paused' })
  t.match(await run('webhooks ensure'), { code: 0, stdout: /nothing to do/ })
  t.match((await json('webhooks list')).webhooks, [{ webhookId, recentFailures: [], created: null, status: 'paused' }])
  t.match((await run('doctor')).stdout, /problem +ultravox +.* the status "paused", which is not known to be healthy/)
  api.webhooks.shown = (webhook) => ({
    ...webhook,
    ...odd,
    status: null,
    events: null,
    secrets: null,
    recentFailures: [null, 'x', { timestamp: 'soon', failure: null }, { timestamp: 7 }],
  })
  t.match(await run('webhooks list'), { code: 0, stdout: /unknown +not shown +2: no reason given/ })
  t.match((await run('doctor')).stdout, /is not registered for call\.started/)
  // What it signs with is not known, and so is not said to be wrong.
  t.notMatch((await run('doctor')).stdout, 'No secret of the webhook')
  t.match(
    (await json('webhooks ensure --yes')).changes.map((each: { field: string }) => each.field),
    ['event', 'event', 'event', 'event'],
  )
  t.notOk('secrets' in JSON.parse(api.requests.at(-1)!.body), 'secrets that are not shown are left alone')
})

t.test('what failures quote is masked, and says nothing to the terminal', async (t) => {
  const secret = 'whsec_0123456789abcdefghij'
  const { api, run } = await webhookRelay(t, { secrets: [secret] })
  const { webhookId } = api.webhooks.create({ url: URL_WANTED, events: EVENTS, secrets: [secret] })
  const failure = `POST https://me:pass@relay.test/in?key=hidden#x with ${secret} \u001b]0;x\u0007\u009b2J /in?key=hidden test-api-key-4f1b`
  Object.assign(api.webhooks.get(webhookId)!, {
    status: 'unhealthy',
    recentFailures: [{ timestamp: '2026-01-01T00:00:00Z', failure }],
  })
  for (const line of ['webhooks list', 'webhooks list --json', 'doctor', 'doctor --json']) {
    const { stdout } = await run(line)
    t.match(stdout, 'POST https://relay.test/in?… with [secret]', line)
    for (const each of ['hidden', 'me:pass', secret, 'test-api-key-4f1b']) t.notMatch(stdout, each, `${line}: ${each}`)
    for (const control of ['\u001b', '\u009b', '\u0007']) t.notOk(stdout.includes(control), line)
  }
})
