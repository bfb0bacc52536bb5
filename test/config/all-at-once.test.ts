import t from 'tap'
import { formatProblem } from '../../src/config/problem.ts'
import { problemsOf } from './relay-yaml.ts'

t.test('everything wrong is told at once, in the order of the file', async (t) => {
  const yaml = `server:
  listen: 0.0.0.0
  bodyLimmit: 5mb
sources:
  ultravox: { scheme: ultravox, secrets: ["\${NOT_SET}"], tolerance: 60 }
targets:
  crm:
    type: http
    url: ftp://crm
    timeout: 10
  ops: { type: slack, webhookUrl: https://x/, text: "{{ ) }}" }
  spare: { type: carrier-pigeon }
routes:
  - events: [call.ended]
    when: a =
    to: [crm, opps, ops]
  - event: [call.billed]
    to: [crn]
retry: { maxDelay: 1s }
`
  const told = problemsOf(t, yaml).map((problem) => {
    return formatProblem({ ...problem, file: 'relay.yaml' })
      .split(' ')
      .slice(0, 2)
      .join(' ')
  })
  t.strictSame(told, [
    'relay.yaml:2:11: server.listen:',
    'relay.yaml:3:3: server.bodyLimmit:',
    'relay.yaml:5:43: sources.ultravox.secrets[0]:',
    'relay.yaml:5:69: sources.ultravox.tolerance:',
    'relay.yaml:9:10: targets.crm.url:',
    'relay.yaml:10:14: targets.crm.timeout:',
    'relay.yaml:11:57: targets.ops.text:',
    'relay.yaml:12:3: targets.spare:',
    'relay.yaml:12:18: targets.spare.type:',
    'relay.yaml:15:13: routes[0].when:',
    'relay.yaml:16:15: routes[0].to[1]:',
    'relay.yaml:17:5: routes[1].events:',
    'relay.yaml:17:5: routes[1].event:',
    'relay.yaml:18:10: routes[1].to[0]:',
    'relay.yaml:19:20: retry.maxDelay:',
  ])
})

t.test('a reference that cannot be had does not bring up anything else', async (t) => {
  const yaml = `routes:
  - { events: ["*"], when: "\${NOT_SET}", to: [crm] }
  - { events: [call.ended], to: [crm] }
`
  t.strictSame(
    problemsOf(t, yaml).map(({ path }) => path),
    ['routes[0].when'],
  )
})
