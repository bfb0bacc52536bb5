import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { request } from 'undici'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { runCommand } from './run-command.ts'

/** Of the lengths that a look at a text does not take for keys. */
const ENV = {
  PIN: 'k7!p',
  SHORT: 'Zq8xw',
  WORD: 'winterfall',
  CRAFTED: `x' & $string(call) & "\\n{{ call.callId }}`,
  ARGUMENT: 'argument-pw',
  VARIABLE: 'variable-pw',
  LEAST: '30',
  TENANT: "acme' or true or '",
}

t.test('what references stand for is sent as it is, never evaluated, and shown nowhere', async (t) => {
  const echo = await httpServer(t, (response, { url, headers, body }) => {
    response.writeHead(422)
    response.end(`${url} ${JSON.stringify(headers)} ${body} ${encodeURIComponent(body.toString())}`)
  })
  const directory = scratch(t)
  mkdirSync(join(directory, 'credentials'))
  writeFileSync(join(directory, 'token'), 'file-pw-1\n')
  writeFileSync(join(directory, 'credentials', 'hook'), 'cred-pw-22\n')
  writeFileSync(join(directory, 'echo.sh'), '#!/bin/sh\necho "$1 $VARIABLE"; echo "$1 $VARIABLE" >&2; exit 65\n', {
    mode: 0o755,
  })
  const env = { ...ENV, CREDENTIALS_DIRECTORY: join(directory, 'credentials') }
  const http = { type: 'http', url: `${echo.origin}/x?pin=\${PIN}` }
  const config = writeConfig(directory, {
    sources: { open: { scheme: 'none' } },
    targets: {
      mapping: {
        ...http,
        body: {
          plain: '${PIN} ${SHORT}',
          quoted: "{{ '${CRAFTED}' }}",
          alone: '{{ ${CRAFTED} }}',
          joined: "{{ 'Bearer ${WORD}' & call.callId }}",
          literal: '${CRAFTED}',
          file: '${file:token} ${credential:hook}',
          number: '{{ $number(${LEAST}) + 1 }}',
        },
        headers: { 'X-Word': "{{ '${WORD}' }}", 'X-Pin': 'is ${PIN}' },
      },
      form: {
        ...http,
        headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
        body: 'token=${WORD}&pin=${PIN}&call={{ call.callId }}',
      },
      // Fails on the payload, and says with which expression.
      failing: { ...http, body: { a: "{{ $number('${WORD}' & ${PIN}) }}" } },
      slack: { type: 'slack', webhookUrl: `${echo.origin}/services/\${WORD}`, text: "${SHORT} {{ '${WORD}' }}" },
      program: { type: 'exec', command: ['./echo.sh', '--pw=${ARGUMENT}'], env: { VARIABLE: '${VARIABLE}' } },
      never: http,
    },
    routes: [
      {
        events: ['*'],
        when: "call.durationSeconds > $number(${LEAST}) and $contains('${WORD}', 'winter')",
        to: ['mapping', 'form', 'failing', 'slack', 'program'],
      },
      { events: ['*'], when: "call.tenant = '${TENANT}'", to: ['never'] },
    ],
  })
  const relay = await startRelay(t, config, env)
  const sent = JSON.stringify({ event: 'call.ended', call: { callId: 'c-1', tenant: 'other', durationSeconds: 31 } })
  await request(`${relay.origin}/webhooks/open`, { method: 'POST', body: sent })
  await eventually(() => relay.log.filter(({ state }) => state === 'dead').length === 5, 'all five have been tried')

  const bodies = echo.received.map(({ body }) => body.toString())
  t.same(
    bodies.filter((body) => body.startsWith('{"plain')).map((body) => JSON.parse(body)),
    [
      {
        plain: `${ENV.PIN} ${ENV.SHORT}`,
        quoted: ENV.CRAFTED,
        alone: ENV.CRAFTED,
        joined: `Bearer ${ENV.WORD}c-1`,
        literal: ENV.CRAFTED,
        file: 'file-pw-1 cred-pw-22',
        number: 31,
      },
    ],
  )
  t.ok(bodies.includes(`token=${ENV.WORD}&pin=${ENV.PIN}&call=c-1`), 'a form')
  t.match(
    relay.log.find(({ target, state }) => target === 'failing' && state === 'dead'),
    {
      error: /body\.a: .*\$number\(.* fails/,
    },
  )

  writeFileSync(join(directory, 'event.json'), sent)
  const { deliveries } = JSON.parse((await runCommand(['deliveries', 'list', '--json'], directory, env)).stdout)
  const outputs: Record<string, string> = { log: JSON.stringify(relay.log) }
  for (const args of [
    ...deliveries.map(({ deliveryId }: { deliveryId: number }) => ['deliveries', 'show', String(deliveryId), '--json']),
    ...[['config', 'show'], ['check'], ['match', 'event.json'], ['match', 'event.json', '--json'], ['status']],
    ...[
      ['targets', 'test', 'mapping'],
      ['targets', 'list'],
      ['events', 'list'],
    ],
  ]) {
    const { stdout, stderr, code } = await runCommand(args, directory, env)
    t.not(code, 2, `${args.join(' ')}: ${stderr}`)
    outputs[args.join(' ')] = stdout + stderr
  }
  await runCommand(['reload'], directory, env)
  const told = 'credentials are those of the start, a restart renews them'
  await eventually(() => relay.log.some(({ msg }) => msg === told), 'a reload logs what it cannot take over')
  t.match(
    relay.log.find(({ msg }) => msg === told),
    { credentials: ['hook'] },
  )
  await relay.end('SIGTERM')
  for (const name of readdirSync(directory)) {
    if (name.startsWith('relay.db')) outputs[name] = readFileSync(join(directory, name), 'latin1')
  }
  t.match(outputs['deliveries show 1 --json'], '[secret]')
  for (const [from, output] of Object.entries(outputs)) {
    for (const value of [...Object.values(ENV).filter((value) => value.length > 2), 'file-pw-1', 'cred-pw-22']) {
      for (const form of [value, JSON.stringify(value).slice(1, -1), encodeURIComponent(value)]) {
        t.notOk(output.includes(form), `${from} does not show ${form}`)
      }
    }
  }
})
