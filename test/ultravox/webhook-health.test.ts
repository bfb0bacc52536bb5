import t from 'tap'
import { Secret } from '../../src/domain/secret.ts'
import type { Webhook } from '../../src/ultravox/client.ts'
import { webhookProblems } from '../../src/ultravox/webhook-health.ts'

const wanted = { url: 'https://relay.test/in', agentId: null, events: ['a', 'b'], secrets: [new Secret('ours')] }
const webhook = (webhookId: string, fields: Partial<Webhook> = {}): Webhook => ({
  webhookId,
  created: 0,
  status: 'normal',
  lastStatusChange: null,
  recentFailures: [],
  ...wanted,
  ...fields,
})
const foreign = [new Secret('theirs')]

t.test('of several webhooks to the URL each is looked at, and an event needs only one of them', async (t) => {
  t.same(webhookProblems(wanted, [webhook('1', { events: ['a'] }), webhook('2', { events: ['b'] })]), [])
  const failures = [
    { at: 2_000, failure: 'HTTP 500' },
    { at: 1_000, failure: 'HTTP 404' },
  ]
  const broken = webhook('3', { status: 'unhealthy', recentFailures: failures, secrets: foreign })
  t.match(webhookProblems(wanted, [webhook('1'), broken]), [
    { kind: 'unhealthy', message: /the webhook 3 .*its last failure at 1970-01-01T00:00:02\.000Z: HTTP 500$/ },
    { kind: 'secrets', message: /the webhook 3 / },
  ])
  t.match(webhookProblems(wanted, [webhook('1', { events: [] })]), [{ kind: 'events', message: / for a, b: / }])
})

t.test(
  'one elsewhere with its secret may have moved: nothing else is said of it, for it may be another’s',
  async (t) => {
    const other = webhook('1', { url: 'https://other.test/?key=hidden', status: 'unhealthy', events: [] })
    const problems = webhookProblems(wanted, [other])
    t.match(problems, [{ kind: 'moved', message: /1 to https:\/\/other\.test\/\?….*webhooks ensure --id 1 / }])
    t.equal(problems.length, 1)
    t.match(webhookProblems(wanted, [{ ...other, secrets: foreign }]), [{ kind: 'missing' }])
  },
)

t.test('a failure that quotes the URL is told without its user and query', async (t) => {
  const failures = [
    "HTTPSConnectionPool(host='relay.test'): url: /in?key=hidden (timed out)",
    'POST https://me:hidden@relay.test/in?key=hidden&b=hidden: 500',
  ]
  for (const failure of failures) {
    const [problem] = webhookProblems(wanted, [
      webhook('1', { status: 'unhealthy', recentFailures: [{ at: 0, failure }] }),
    ])
    t.match(problem, { kind: 'unhealthy', message: /relay\.test.*\/in\?….*(timed out|500)/ })
    t.notMatch(problem, { message: /hidden/ })
  }
})
