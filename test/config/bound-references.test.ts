import t, { type Test } from 'tap'
import type { LoadedConfig } from '../../src/config/load.ts'
import type { Attachments } from '../../src/domain/attachments.ts'
import { compileRoute, routeEvent } from '../../src/domain/routing.ts'
import { boundedCondition } from '../../src/expressions/bounded.ts'
import { concealerOf, createTarget, Launcher } from '../../src/target-factory.ts'
import { httpServer } from '../local-server.ts'
import { clock, deliveryOf, running } from '../targets/sample-delivery.ts'
import { load } from './relay-yaml.ts'

const NONE = {} as Attachments

/** Values that are code, or end a literal, a template or a text, wherever they are pasted. */
const CRAFTED = [
  'plain words',
  `' & call.secret & '`,
  '" & call.secret & "',
  'call.secret',
  '{{ call.secret }}',
  '{ call.secret }}',
  '}} {{ call.secret }} {{',
  'a\\nb\\',
  'a\nb\tc',
  '`/* */ //',
  'é 😀 \u2028',
]

async function sends(t: Test, { config }: LoadedConfig, payload = CALL) {
  const launcher = new Launcher()
  const target = createTarget('crm', config.targets.crm!, config.directory, clock, launcher, NONE)
  t.teardown(() => target.close())
  t.teardown(() => launcher.close())
  return target.send(deliveryOf(payload), running)
}

const CALL = { event: 'call.ended', call: { callId: 'c-1', secret: 'of the call', metadata: { key: 'k' } } }

const isTaken = async ({ config }: LoadedConfig, key: string) => {
  const payload = { event: 'call.ended', call: { metadata: { key } } }
  const routes = config.routes.map((route) => compileRoute(route, boundedCondition))
  const targets = await routeEvent(routes, payload, 'ultravox', (_, error) => {
    throw error
  })
  return targets.length > 0
}

t.test('what a reference in a template stands for is a text, whatever it holds', async (t) => {
  const { origin, received } = await httpServer(t, (response) => response.end())
  const yaml = `targets:
  crm:
    type: http
    url: ${origin}/
    body:
      outside: 'Bearer \${X} {{ call.callId }}'
      alone: '\${X}'
      afterBrace: '{\${X}'
      bare: '{{ \${X} }}'
      single: "{{ '\${X}' }}"
      double: '{{ "\${X}" }}'
      joined: "{{ 'Bearer \${X}-' & call.callId }}"
      object: '{{ {"a":{"b":\${X}}} }}'
      divided: "{{ (4 / 2 /* '\${X} */) & \${X} }}"
      pattern: "{{ $contains(\${X}, /[\\"'{}]never/) }}"
      used: '{{ \${X:-call.secret} }}'
      fallback: '{{ \${NOT_SET:-call.secret} }}'
      template: '\${NOT_SET:-{{ call.callId }}}'
`
  for (const X of CRAFTED) {
    await sends(t, load(t, yaml, { env: { X } }))
    t.same(
      JSON.parse(received.at(-1)!.body.toString()),
      {
        outside: `Bearer ${X} c-1`,
        alone: X,
        afterBrace: `{${X}`,
        bare: X,
        single: X,
        double: X,
        joined: `Bearer ${X}-c-1`,
        object: { a: { b: X } },
        divided: `2${X}`,
        pattern: false,
        used: X,
        fallback: 'call.secret',
        template: 'c-1',
      },
      X,
    )
  }
})

t.test('what a reference in a condition stands for is a text', async (t) => {
  for (const X of CRAFTED) {
    for (const when of [`call.metadata.key = '\${X}'`, 'call.metadata.key = ${X}', '"\\${X}" = call.metadata.key']) {
      const yaml = `routes:\n  - { events: ["*"], to: [crm], when: ${JSON.stringify(when.replace('\\$', '$'))} }\n`
      const loaded = load(t, yaml, { env: { X } })
      t.equal(await isTaken(loaded, X), true, `${when}: ${X}`)
      t.equal(await isTaken(loaded, 'another'), false, `${when}: ${X}`)
      t.match(JSON.stringify(loaded.shown()), '${X}')
      t.notMatch(JSON.stringify(loaded.shown()), JSON.stringify(X).slice(1, -1))
    }
  }
})

t.test('what references stand for is hidden wherever it was used, however short and plain', async (t) => {
  const { origin } = await httpServer(t, (response, { url, headers, body }) => {
    const text = `${url} ${headers['x-key']} ${headers['accept-language']} ${body}`
    response.writeHead(500).end(`${text} ${encodeURIComponent(text)} ${Buffer.from(text).toString('base64')}`)
  })
  const env = {
    IN_URL: 'tango',
    HEADER: 'hush-1',
    PUBLIC: 'klingon',
    BODY: 'pass word',
    EXPRESSION: 'it\'s "x"',
    TINY: 'abc',
  }
  const yaml = `targets:
  crm:
    type: http
    url: ${origin}/\${IN_URL}
    headers: { x-key: '\${HEADER}', accept-language: '\${PUBLIC}' }
    body: { a: '\${BODY}', b: "{{ \${EXPRESSION} & call.callId }}", c: '\${TINY}' }
`
  const outcome = JSON.stringify(await sends(t, load(t, yaml, { env })))
  t.match(outcome, 'c-1')
  t.match(outcome, 'abc', 'three characters are a piece of any text')
  for (const [name, value] of Object.entries(env)) {
    if (name !== 'TINY') t.notOk(outcome.includes(value) || outcome.includes(encodeURIComponent(value)), name)
  }
  t.notMatch(outcome, /it\\*'s/)

  const command = `targets:\n  crm: { type: exec, command: [/bin/sh, -c, 'echo $1 $0 $IN; exit 1', "\${HEADER}", "\${BODY}"], env: { IN: "\${IN_URL}" } }\n`
  const ran = JSON.stringify(await sends(t, load(t, command, { env })))
  t.match(ran, '[secret] [secret] [secret]')
})

t.test('the host of a target is not hidden, whoever wrote it', async (t) => {
  const yaml = `targets:\n  crm: { type: http, url: "\${BASE}/\${PATH_KEY}", headers: { a: "\${NAME}" } }\n`
  const { config } = load(t, yaml, { env: { BASE: 'http://localhost:1', PATH_KEY: 'hush-2', NAME: 'localhost-key' } })
  const conceal = concealerOf(config.targets.crm!)
  t.equal(conceal('http://localhost:1 does not know hush-2'), 'http://localhost:1 does not know [secret]')
  t.equal(conceal('localhost-key'), '[secret]')
})
