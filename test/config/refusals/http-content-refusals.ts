import type { Refusals } from '../relay-yaml.ts'
import { http } from './section-text.ts'

export const httpContentRefusals: Refusals = {
  'a body that is no JSONata': {
    yaml: http("body: 'ended: {{call.▸)}}'"),
    path: 'targets.crm.body',
    words: /not valid JSONata/,
  },
  'a string deep in a body that is no JSONata': {
    yaml: http('body: { a: [{ b: "▸{{oops" }] }'),
    path: 'targets.crm.body.a[0].b',
    words: /no closing "}}"/,
  },
  'a body that is a number': {
    yaml: http('body: ▸3'),
    path: 'targets.crm.body',
    words: /must be a mapping, a list or text/,
  },
  'a header that is no JSONata': {
    yaml: http('headers: { A: "Bearer {{ marked-secret ▸) }}" }'),
    path: 'targets.crm.headers.A',
    words: /^is not valid JSONata from here on$/,
  },
  'a redacted path with an empty key': {
    yaml: http('redact: [call.joinUrl, ▸call..joinUrl]'),
    path: 'targets.crm.redact[1]',
    words: /an empty key/,
  },
  'a redacted path as JSONPath': {
    yaml: http('redact: [▸$.call.joinUrl]'),
    path: 'targets.crm.redact[0]',
    words: /leave out the "\$\."/,
  },
  'a redacted path with brackets': {
    yaml: http('redact: [▸"call.messages[0].text"]'),
    path: 'targets.crm.redact[0]',
    words: /call\.messages\.0\.text/,
  },
  ...Object.fromEntries(
    (
      [
        ['call.joinUrl.', /an empty key/],
        ['.call.joinUrl', /an empty key/],
        ['/call/joinUrl', /keys with dots between/],
        ['call.messages.-1.text', /counts list indexes from 0/],
        ['call.messages.**.text', /\* stands for a whole key/],
        ['call.meta*', /\* stands for a whole key/],
        ['call.caller id', /in quotes, as in call\.metadata\."caller id"/],
        ["call.'id'", /in quotes/],
        ['call."id', /quotes that do not enclose a whole key/],
        ['call."id"x', /quotes that do not enclose a whole key/],
        ['call.`id', /quotes that do not enclose a whole key/],
        ['call."\\x"', /not valid JSON/],
      ] as const
    ).map(([path, words]) => [
      `a redacted path that can match nothing: ${path}`,
      { yaml: http(`redact: [▸'${path.replaceAll("'", "''")}']`), path: 'targets.crm.redact[0]', words },
    ]),
  ),
  'redact as text': {
    yaml: http('redact: ▸call.joinUrl'),
    path: 'targets.crm.redact',
    words: /must be a list/,
  },
}
