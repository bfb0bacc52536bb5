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
  'redact as text': {
    yaml: http('redact: ▸call.joinUrl'),
    path: 'targets.crm.redact',
    words: /must be a list/,
  },
}
