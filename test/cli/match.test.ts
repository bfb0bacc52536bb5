import t from 'tap'
import { writeConfig } from '../daemon/relay-process.ts'
import { runCommand } from '../daemon/run-command.ts'

const hook = { type: 'exec', command: ['./not-here'] }
const config = {
  sources: { ultravox: { scheme: 'ultravox', secrets: ['${GONE}'] } },
  targets: { all: hook, crm: hook, billing: hook, odd: hook },
  routes: [
    { events: ['*'], to: ['all'] },
    { events: ['call.*'], when: "call.endReason != 'unjoined'", to: ['crm'] },
    { name: 'bills', events: ['call.billed'], to: ['billing'] },
    { events: ['call.ended'], when: 'call.endReason > 3', to: ['odd'] },
  ],
}

t.test('match says where an event would go, and why not elsewhere', async (t) => {
  const event = '{"event":"call.ended","call":{"callId":"a\\u001b[2J\\nb","endReason":"unjoined"}}'
  const directory = t.testdir({ 'event.json': event })
  writeConfig(directory, config)
  const [shown, json] = await Promise.all([
    runCommand(['match', 'event.json'], directory),
    runCommand(['match', 'event.json', '--json'], directory),
  ])
  t.match(shown, { code: 0, stderr: '' })
  t.equal(
    shown.stdout,
    `call.ended, call a [2J b: goes to all, odd, not to crm, billing

routes[0] to all: yes
  events: *: matches

routes[1] to crm: no
  events: call.*: matches
  when: call.endReason != 'unjoined': does not hold
    call.endReason = "unjoined"

routes[2] (bills) to billing: no
  events: call.billed: does not match

routes[3] to odd: yes
  events: call.ended: matches
  when: call.endReason > 3: fails, taken as true: > compares a text of 8 characters with the number 3; convert one with $number(…) or $string(…)
    call.endReason = "unjoined"
`,
  )
  t.match(JSON.parse(json.stdout), {
    event: 'call.ended',
    targets: ['all', 'odd'],
    others: ['crm', 'billing'],
    routes: [
      { index: 0, matches: true, eventMatches: true, when: null, to: ['all'] },
      {
        matches: false,
        eventMatches: true,
        when: { holds: false, value: false, fields: [{ path: 'call.endReason', value: 'unjoined' }] },
      },
      { matches: false, eventMatches: false },
      { matches: true, when: { holds: true, value: null, error: /compares a text/ } },
    ],
  })
})

t.test('what is no event is told as the relay would', async (t) => {
  const directory = t.testdir({ 'no.json': '[1]' })
  writeConfig(directory, config)
  t.match(await runCommand(['match', 'no.json'], directory), { code: 2, stderr: /no event.*not a JSON object/ })
  t.match(await runCommand(['match', 'gone.json'], directory), { code: 3, stderr: /there is no file gone\.json/ })
})
