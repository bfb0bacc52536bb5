import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { systemClock } from '../../src/domain/clock.ts'
import { writeConfig } from '../daemon/relay-process.ts'
import { freePort } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { connectProxy } from '../targets/connect-proxy.ts'
import { SELF_SIGNED, SELF_SIGNED_CRM } from '../targets/self-signed.ts'
import { createFakeApi } from '../ultravox/fake-api.ts'
import { Markers } from './markers.ts'
import { talkativeProxy, talkativeService } from './talkative-services.ts'

/** What services do to texts that they repeat, they do to these. */
const ODD = `"'&<>\\/%+ =`
/** The same without what no header, URL or user name may have as it is. */
const ODD_IN_URL = '%22%26~.'

const lines = (pem: string) => pem.split('\n').filter((line) => line.length > 60)

/**
 * A relay that has a marked secret wherever one can stand, given in every way in which one can be given, and services
 * that repeat all they are sent. A place is the key of the schema, and of targets the name behind it.
 */
export async function markedRelay(t: Test) {
  const markers = new Markers()
  const mark = markers.make.bind(markers)
  const directory = scratch(t)
  const file = (name: string, text: string) => writeFileSync(join(directory, name), text, { mode: 0o600 })

  const apiKey = mark('ultravox.apiKey')
  const api = await createFakeApi(t, { clock: systemClock, apiKey })
  const service = await talkativeService(t, {
    teapot: 418,
    busy: 503,
    moved: 308,
    edge: 422,
    services: 410,
    collector: 400,
  })
  const proxy = await talkativeProxy(t)
  const apiProxy = await connectProxy(t)
  const { origin } = service
  markers.add('server.tls.key', SELF_SIGNED.key, lines(SELF_SIGNED.key))
  markers.add('server.tls.cert', SELF_SIGNED.cert, lines(SELF_SIGNED.cert))
  markers.add('targets.http.tls.key: secure', SELF_SIGNED_CRM.key, lines(SELF_SIGNED_CRM.key))
  markers.add('targets.http.tls.cert: secure', SELF_SIGNED_CRM.cert, lines(SELF_SIGNED_CRM.cert))
  markers.add('targets.http.tls.ca: secure', SELF_SIGNED_CRM.cert, lines(SELF_SIGNED_CRM.cert))
  for (const [key, pem] of [
    ['key', SELF_SIGNED_CRM.key],
    ['cert', SELF_SIGNED_CRM.cert],
    ['ca', SELF_SIGNED_CRM.cert],
  ] as const) {
    markers.add(`targets.slack.tls.${key}: secureOps`, pem, lines(pem))
  }

  const credentials = join(directory, 'credentials')
  mkdirSync(credentials)
  file('credentials/api-key', `${apiKey}\n`)
  file('credentials/client.pem', SELF_SIGNED_CRM.key)
  file('server.pem', SELF_SIGNED.cert)
  file('server.key', SELF_SIGNED.key)
  file('client.crt', SELF_SIGNED_CRM.cert)
  file('source.secret', `${mark('sources.ultravox.secrets: file')}\n`)
  const kept = mark('secretsFile')
  file('ultravox.secrets', `# kept by the relay\n${kept}\n`)
  file('crm.token', mark('targets.http.headers.*: crm, file'))

  const fromEnv = mark('sources.ultravox.secrets: env')
  const adminToken = mark('admin.token')
  const env = {
    PATH: `${join(directory, 'bin')}:${process.env.PATH}`,
    NOTIFY_SOCKET: join(directory, 'notify'),
    CREDENTIALS_DIRECTORY: credentials,
    SOURCE_SECRET: fromEnv,
    CRM_URL: `${origin}/teapot/${mark('targets.http.url: crm, path')}?token=${mark('targets.http.url: crm, query', ODD_IN_URL)}`,
    SLACK_URL: `${origin}/services/T0/${mark('targets.slack.webhookUrl: ops')}`,
    HOOK_TOKEN: mark('targets.exec.env.*: hook, env'),
    PASSED_TOKEN: mark('passEnv: hook'),
    ADMIN_TOKEN: adminToken,
    COLLECTOR_TOKEN: mark('tracing.headers.*: collector'),
    UNUSED: mark('environment: of no use'),
  }
  const inline = mark('sources.ultravox.secrets: inline')
  const fallback = mark('sources.ultravox.secrets: fallback')
  const basic = Buffer.from(`relay:${mark('targets.http.headers.*: crm, basic')}`).toString('base64')
  markers.add('targets.http.headers.*: crm, basic as it is sent', basic)
  const standard = Buffer.from(mark('targets.http.sign.standard-webhooks.secrets: busy')).toString('base64')
  markers.add('targets.http.sign.standard-webhooks.secrets: busy, as it is written', standard)
  const http = (path: string, more: object = {}) => ({
    type: 'http',
    url: `${origin}/${path}`,
    // Each is tried once: none waits for the circuit.
    rejectOn: ['3xx', '4xx'],
    ...more,
  })
  /** Enough is tried once. */
  const seldom = { retry: { initialDelay: '1h' } }

  const targets: Record<string, object> = {
    crm: {
      type: 'http',
      url: '${CRM_URL}',
      rejectOn: ['4xx'],
      headers: {
        Authorization: 'Bearer ${file:./crm.token}',
        'X-Odd': mark('targets.http.headers.*: crm, odd', ODD),
        'X-Basic': `Basic ${basic}`,
        'X-Template': `${mark('targets.http.headers.*: crm, template')} {{call.callId}}`,
      },
      sign: { scheme: 'ultravox', secrets: [mark('targets.http.sign.ultravox.secrets: crm')] },
    },
    busy: http(`busy/${mark('targets.http.url: busy')}`, {
      body: {
        routing_key: mark('targets.http.body: busy'),
        nested: [{ key: mark('targets.http.body: busy, nested') }],
      },
      sign: { scheme: 'standard-webhooks', secrets: [`whsec_${standard}`] },
      ...seldom,
    }),
    moved: http(`moved/${mark('targets.http.url: moved')}`, { attach: ['transcript', 'recording'] }),
    edge: http('edge', { headers: { Authorization: mark('targets.http.headers.*: edge') } }),
    proxied: http('proxied', {
      proxy: `http://${mark('targets.http.proxy: proxied, user')}:${mark('targets.http.proxy: proxied', ODD_IN_URL)}@${proxy.host}`,
      ...seldom,
    }),
    nobody: { type: 'http', url: `http://127.0.0.1:1/${mark('targets.http.url: nobody')}`, ...seldom },
    nowhere: { type: 'http', url: `http://nowhere.invalid/?${mark('targets.http.url: nowhere')}`, ...seldom },
    secure: {
      type: 'http',
      url: `${origin.replace('http:', 'https:')}/${mark('targets.http.url: secure')}`,
      tls: { ca: './client.crt', cert: '${file:./client.crt}', key: '${credential:client.pem}' },
      ...seldom,
    },
    socket: { type: 'http', url: `http+unix://%2Fnot%2Fthere/${mark('targets.http.url: socket')}`, ...seldom },
    // Templates that fail on the payload, with something that is not to be told.
    failing: http('ok', { headers: { 'X-Failing': `{{ $number('${mark('targets.http.headers.*: failing')}') }}` } }),
    worse: http('ok', { body: { key: `{{ $toMillis('${mark('targets.http.body: worse')}') }}` } }),
    repeated: http('teapot', { body: { key: `{{ '${mark('targets.http.body: repeated')}' }}` } }),
    blocks: {
      type: 'slack',
      webhookUrl: `${origin}/services/T1/${mark('targets.slack.webhookUrl: blocks')}`,
      blocks: [{ type: 'image', url: `{{ 'https://x/?key=${mark('targets.slack.blocks: blocks')}' }}` }],
    },
    proxiedOps: {
      type: 'slack',
      webhookUrl: `${origin}/services/T2/${mark('targets.slack.webhookUrl: proxiedOps')}`,
      headers: { 'X-Key': mark('targets.slack.headers.*: proxiedOps') },
      proxy: `http://relay:${mark('targets.slack.proxy: proxiedOps', ODD_IN_URL)}@${proxy.host}`,
      ...seldom,
    },
    secureOps: {
      type: 'slack',
      webhookUrl: `${origin.replace('http:', 'https:')}/services/${mark('targets.slack.webhookUrl: secureOps')}`,
      tls: { ca: './client.crt', cert: '${file:./client.crt}', key: '${credential:client.pem}' },
      ...seldom,
    },
    ops: { type: 'slack', webhookUrl: '${SLACK_URL}', text: `${mark('targets.slack.text: ops')}` },
    hook: {
      type: 'exec',
      command: ['./hook.sh', mark('targets.exec.command: hook'), `--key=${mark('targets.exec.command: hook, option')}`],
      env: {
        TOKEN: '${HOOK_TOKEN}',
        ODD: mark('targets.exec.env.*: hook, odd', ODD),
        OWN: mark('targets.exec.env.*: hook, inline'),
      },
      passEnv: ['PASSED_TOKEN'],
    },
    // The recording is fetched from where the API leads to: a server that is not to see the API's key.
    archive: { type: 'exec', command: ['cat'], attach: ['recording'], recordingAs: 'file' },
    cut: {
      type: 'exec',
      command: ['./cut.sh'],
      env: { TOKEN: mark('targets.exec.env.*: cut') },
    },
  }
  // All that a program can tell of itself; and of its parent, whose environment it may read as the same user.
  script('hook.sh', [
    'cat > /dev/null; env > hook.env; tr "\\0" "\\n" < /proc/$PPID/environ > launcher.env',
    'tr "\\0" " " < /proc/$PPID/cmdline > launcher.cmdline',
    'env; env >&2; echo "$0 $@"; echo "usage: $0 $@" >&2; env | base64 -w 0; exit 65',
  ])
  // Its output is cut in the middle of the token: 4 KiB from the end of stdout, and 200 characters into the last line.
  script('cut.sh', [
    'cat > /dev/null; half=$(( ${#TOKEN} / 2 ))',
    'printf %s "$TOKEN"; head -c $(( 4096 - half )) /dev/zero | tr "\\0" y',
    'printf "%$(( 200 - half ))s%s" "" "$TOKEN" | tr " " z >&2; exit 65',
  ])
  mkdirSync(join(directory, 'bin'))
  script('bin/systemd-notify', [`env >> ${join(directory, 'notify.env')}`])
  function script(name: string, text: string[]) {
    writeFileSync(join(directory, name), ['#!/bin/sh', ...text, ''].join('\n'), { mode: 0o755 })
  }

  const config: Record<string, unknown> = {
    server: {
      listen: `127.0.0.1:${await freePort()}`,
      tls: { cert: './server.pem', key: '${file:./server.key}' },
      rateLimit: { maxRefused: 1_000 },
    },
    log: { level: 'debug' },
    sources: {
      ultravox: {
        scheme: 'ultravox',
        secrets: ['${SOURCE_SECRET}', '${file:./source.secret}', inline, `\${UNSET:-${fallback}}`],
        secretsFile: './ultravox.secrets',
        // A rotation waits at least this long.
        tolerance: '5s',
      },
    },
    targets,
    routes: [
      { events: ['*'], to: Object.keys(targets).filter((name) => name !== 'hook') },
      { events: ['call.*'], when: 'call.callId > 1', to: ['hook'] },
    ],
    ultravox: {
      apiKey: '${credential:api-key}',
      baseUrl: api.baseUrl,
      proxy: `http://${mark('ultravox.proxy: user')}:${mark('ultravox.proxy: password', ODD_IN_URL)}@${apiProxy.host}`,
      webhook: {
        url: `https://relay.test/webhooks/ultravox?key=${mark('ultravox.webhook.url: query')}`,
        source: 'ultravox',
      },
      reconcile: { every: '1h' },
    },
    admin: { listen: '127.0.0.1:0', token: '${ADMIN_TOKEN}' },
    tracing: { otlp: `${origin}/collector`, headers: { Authorization: 'Bearer ${COLLECTOR_TOKEN}' } },
  }
  writeConfig(directory, config)
  const recordingUrl = `${origin}/recording?signature=${mark('recording')}`
  const secrets = { fromEnv, inline, fallback, kept, adminToken, apiKey }
  return { markers, directory, env, api, service, proxy, targets, secrets, recordingUrl }
}
