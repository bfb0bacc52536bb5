import { readdirSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import t from 'tap'
import { lintCondition, lintTemplate, type Remark } from '../../src/config/expression-lint.ts'

const ULTRAVOX = { fields: [] }
const ROOT = resolve(import.meta.dirname, '../../..')

function shown(remarks: readonly Remark[]): string {
  return remarks.map(({ level, message }) => `${level}: ${message}`).join('\n')
}

t.test('conditions that mean something else than they look like are found, with the form that works', async (t) => {
  for (const [text, expected] of Object.entries({
    "call.metadata['tenant-id'] = 'x'":
      'error: selects everything, since a text in [ ] is a condition that is true: write .`tenant-id`',
    "call.summary.contains('x')": "error: JSONata has no method contains(): write $contains(x, 'text')",
    'call.summary.toLowerCase() = "x"': 'error: JSONata has no method toLowerCase(): write $lowercase(x)',
    'call.metadata.tenant-id = "x"': 'error: subtracts: a key with a dash in it is written call.metadata.`tenant-id`',
    'call.summary.length > 3':
      'error: JSONata has no property length: write $length(x) for a text, $count(x) for a list',
    '$json.call.callId = "x"': 'error: there is no variable $json: the payload is the context: write call.callId',
    '$upper(call.summary) = "X"': 'error: there is no function $upper: write $uppercase(x)',
    '$uppercas(call.summary) = "X"': 'error: there is no function $uppercas: did you mean $uppercase?',
    'call.a && call.b': 'error: JSONata combines conditions with "and": write a and b',
    'call.a || call.b': 'error: JSONata combines conditions with "or": write a or b',
    '!call.joined': 'error: JSONata negates with a function: write $not(a)',
    'call.joined and not call.ended': 'error: JSONata negates with a function: write $not(a)',
    "call.endReason == 'x'": 'error: JSONata compares with =: write a = b',
    "call.endReason !== 'x'": 'error: JSONata compares with !=: write a != b',
    'call?.joined': 'error: JSONata needs no ?. because a missing field gives nothing: write a.b',
    '{{ call.joined }}': 'error: is an expression as a whole: leave out the {{ and }}',
    'call.joined = None': 'error: None is the name of a field in JSONata: write null',
    "endReason != 'unjoined'": 'warning: no known event has a field endReason: did you mean call.endReason?',
    "call.endReson = 'x'": 'warning: no known event has call.endReson: did you mean call.endReason?',
    "call.endReason = 'a' or 'b'":
      'warning: has a text next to "or", which is always true: write x = "a" or x = "b", or x in ["a", "b"]',
    "call.endReason = ['a', 'b']":
      'warning: compares with the whole list: for one of its elements write x in ["a", "b"]',
    '"hangup"': 'warning: is the same for every event: write a comparison, as in call.endReason = "hangup"',
  })) {
    t.equal(shown(lintCondition(text, ULTRAVOX)), expected, text)
  }
})

t.test('templates in the form of other template languages are found', async (t) => {
  for (const text of [
    '{{#if call.joined}}x{{/if}}',
    '{{^call.joined}}x{{/call.joined}}',
    '{{else}}',
    '{{{call.callId}}}',
    '{{> partial}}',
    '{{!-- comment --}}',
    '{% if call.joined %}',
    '<%= call.callId %>',
    '={{ $json.call.callId }}',
    '{{ call.summary | upcase }}',
    "{{ 'Call {{call.callId}}' }}",
    "{{ 'Call ' + call.callId }}",
    '{{ new Date(call.ended) }}',
    '{{ call.ended.toISOString() }}',
    '{{ if call.joined then 1 }}',
    '{{ call.list.map(x => x.a) }}',
    '{{ $node["x"].json.id }}',
    '{{ call.callId',
  ]) {
    const [remark, ...more] = lintTemplate(text, ULTRAVOX)
    t.match(remark, { level: 'error', message: /writ|needs|join|chooses|no closing/ }, text)
    t.ok(more.length < 2, text)
  }
  t.match(lintTemplate('Event {{ evnt.id }}', ULTRAVOX), [
    { level: 'warning', message: /did you mean event\?/, offset: 9 },
  ])
})

t.test('what works has no remark', async (t) => {
  for (const text of [
    'call.metadata.`tenant-id` = "x"',
    'call.metadata.length > 1',
    'call.temperature - 1 > 0',
    "call.endReason in ['hangup', 'agent_hangup'] and $not(call.metadata.test)",
    "$contains(call.summary, 'a == b && !c')",
    '($x := call.metadata; $x.a = 1)',
    "$filter(call.inactivityMessages, function($m) { $m.duration = '5s' })",
    "call.inactivityMessages[message = 'x'] and event.source = 'ultravox'",
    '$exists(call.medium.twilio) /* == */',
    'call.created < call.ended',
    'payload.anything = 1',
    "event = 'call.ended' or event.name = 'call.billed'",
    "$map(call.metadata.list, $uppercase)[0] = 'A'",
  ]) {
    t.equal(shown(lintCondition(text, ULTRAVOX)), '', text)
  }
  for (const text of [
    '{ braces } and 100 %',
    '{{ {"a": {"b": call.callId}} }}',
    '{{ call.shortSummary ?: "none" }} & {{event.id}}',
    '',
  ]) {
    t.equal(shown(lintTemplate(text, ULTRAVOX)), '', text)
  }
})

t.test('fields of other sources are not known', async (t) => {
  t.equal(shown(lintCondition("order.id = 'x' and call.anything", { fields: null })), '')
  t.equal(shown(lintCondition("delivery.target = 'crm'", { fields: ['delivery'] })), '')
})

t.test('the expressions in the documentation and the examples have no remark', async (t) => {
  const files = [
    'README.md',
    'relay.example.yaml',
    ...['config/examples', 'docs', 'docs/concepts'].flatMap((directory) =>
      readdirSync(resolve(ROOT, directory)).flatMap((name) =>
        /\.(md|yaml)$/.test(name) ? [`${directory}/${name}`] : [],
      ),
    ),
  ]
  let found = 0
  for (const file of files) {
    const text = readFileSync(resolve(ROOT, file), 'utf8')
    for (const [, condition] of text.matchAll(/^\s*-?\s*when: (.+?)(?:\s+#.*)?$/gm)) {
      const written = condition!
        .replace(/^"(.*)"$/, '$1')
        .replace(/^'(.*)'$/, (_, inner: string) => inner.replaceAll("''", "'"))
      t.equal(shown(lintCondition(written, ULTRAVOX)), '', `${file}: ${written}`)
      found++
    }
    for (const [, template] of text.matchAll(/"([^"\n]*\{\{ ?(?:call|event|payload)\b[^"\n]*\}\}[^"\n]*)"/g)) {
      t.equal(shown(lintTemplate(template!, ULTRAVOX)), '', `${file}: ${template}`)
      found++
    }
  }
  t.ok(found > 5)
})
