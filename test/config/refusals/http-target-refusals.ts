import type { Refusals } from '../relay-yaml.ts'
import { http } from './section-text.ts'

export const httpTargetRefusals: Refusals = {
  'a url that is not http': {
    yaml: 'targets:\n  crm: { type: http, url: ▸"ftp://x/" }',
    path: 'targets.crm.url',
    words: /https:\/\/ or http:\/\//,
  },
  'a url with a password': {
    yaml: 'targets:\n  crm: { type: http, url: ▸"https://me:marked-secret@x/" }',
    path: 'targets.crm.url',
    words: /headers, as Authorization/,
  },
  'a url with a fragment': {
    yaml: 'targets:\n  crm: { type: http, url: ▸"https://x/?k=marked-secret#a" }',
    path: 'targets.crm.url',
    words: /fragment.*remove it/,
  },
  'an unknown method': { yaml: http('method: ▸GET'), path: 'targets.crm.method', words: /one of POST, PUT, PATCH/ },
  'a header name with a blank': {
    yaml: http('headers: { ▸"X Y": a }'),
    path: 'targets.crm.headers["X Y"]',
    words: /no header name/,
  },
  'a header the relay sets': {
    yaml: http('headers: { ▸Webhook-Id: a }'),
    path: 'targets.crm.headers.Webhook-Id',
    words: /set by the relay itself/,
  },
  'a header of the relay': {
    yaml: http('headers: { ▸X-Relay-Foo: a }'),
    path: 'targets.crm.headers.X-Relay-Foo',
    words: /set by the relay itself/,
  },
  'a signature header of Ultravox': {
    yaml: http('headers: { ▸x-ultravox-webhook-signature: a }'),
    path: 'targets.crm.headers.x-ultravox-webhook-signature',
    words: /set by the relay itself/,
  },
  'a header that tells of the trace': {
    yaml: http('headers: { ▸TraceParent: a }'),
    path: 'targets.crm.headers.TraceParent',
    words: /set by the relay itself/,
  },
  'the length of the body as a header': {
    yaml: http('headers: { ▸content-length: "1" }'),
    path: 'targets.crm.headers.content-length',
    words: /set by the relay itself/,
  },
  'a header with a line break': {
    yaml: http('headers: { A: ▸"b\\r\\nmarked-secret" }'),
    path: 'targets.crm.headers.A',
    words: /line break/,
  },
  ...Object.fromEntries(
    ['café', 'marked-secret ☃', '\\u0085x'].map((value) => [
      `a header with ${value}`,
      { yaml: http(`headers: { A: ▸"${value}" }`), path: 'targets.crm.headers.A', words: /outside of ASCII|control/ },
    ]),
  ),
  'a url with a template in it': {
    yaml: 'targets:\n  crm: { type: http, url: ▸"https://x/{{ call.callId }}/marked-secret" }',
    path: 'targets.crm.url',
    words: /template is not filled in here/,
  },
  'a header twice': {
    yaml: http('headers: { A: x, ▸a: y }'),
    path: 'targets.crm.headers.a',
    words: /same header as A/,
  },
  'a status that cannot be retried': {
    yaml: http('retryOn: [404, 503, 5xx, ▸204]'),
    path: 'targets.crm.retryOn[3]',
    words: /a status from 300 to 599, or one of 3xx, 4xx and 5xx/,
  },
  'an answer that is retried and final': {
    yaml: http('retryOn: [404, 5xx], rejectOn: [3xx, ▸5xx]'),
    path: 'targets.crm.rejectOn[1]',
    words: /5xx is in retryOn as well/,
  },
  'an unknown way of signing': {
    yaml: http('sign: { scheme: ▸hmac, secrets: [x-long-enough-secret] }'),
    path: 'targets.crm.sign.scheme',
    words: /one of ultravox, standard-webhooks/,
  },
  'a signing secret that is no base64': {
    yaml: http('sign: { scheme: standard-webhooks, secrets: [▸"whsec_marked-secret!"] }'),
    path: 'targets.crm.sign.secrets[0]',
    words: /base64 of 24 to 64 bytes/,
  },
  'a signing secret that is too short': {
    yaml: http('sign: { scheme: standard-webhooks, secrets: [▸whsec_AAAA] }'),
    path: 'targets.crm.sign.secrets[0]',
    words: /24 to 64 bytes/,
  },
  'a percent-encoded template in an address': {
    yaml: 'targets:\n  crm: { type: http, url: ▸"https://crm.internal/%7B%7Bcall.callId%7D%7D" }',
    path: 'targets.crm.url',
    words: /^has a template in it, which is not filled in here: every event would go/,
  },
  'a template with single braces in an address': {
    yaml: 'targets:\n  crm: { type: http, url: ▸"https://crm.internal/{call.callId}" }',
    path: 'targets.crm.url',
    words: /^has a template in it/,
  },
  'a template in the headers of spans': {
    yaml: 'tracing: { otlp: "https://otel.internal", headers: { x-call: ▸"{{call.callId}}" } }',
    path: 'tracing.headers.x-call',
    words: /^has a template in it/,
  },
  'a template in a key of the body': {
    yaml: 'targets:\n  crm: { type: http, url: "https://x.test", body: { list: [{ ▸"{{call.callId}}": 1 }] } }',
    path: 'targets.crm.body.list[0]["{{call.callId}}"]',
    words: /^is a key with \{\{ in it/,
  },
  'a template in a key of the blocks': {
    yaml: 'targets:\n  crm: { type: slack, webhookUrl: "https://x.test/s", blocks: [{ type: section, ▸"{{call.a}}": 1 }] }',
    path: 'targets.crm.blocks[0]["{{call.a}}"]',
    words: /^is a key with \{\{ in it/,
  },
  'a template in a path to a socket': {
    yaml: 'targets:\n  crm: { type: http, url: "http://x.test", socketPath: ▸"/run/{{call.agentId}}.sock" }',
    path: 'targets.crm.socketPath',
    words: /^has \{\{ in it, which is not filled in here/,
  },
  'a template in a secret to sign with': {
    yaml: 'targets:\n  crm: { type: http, url: "https://x.test", sign: { scheme: ultravox, secrets: [▸"key-of-{{call.agentId}}-0123"] } }',
    path: 'targets.crm.sign.secrets[0]',
    words: /^has a template in it/,
  },
  'a template in an argument of a program': {
    yaml: 'targets:\n  crm: { type: exec, command: [/bin/echo, "{{.Names}}", ▸"{{call.callId}}"] }',
    path: 'targets.crm.command[2]',
    words: /^has \{\{ in it, which is not filled in for programs/,
  },
  'a template in a variable of a program': {
    yaml: 'targets:\n  crm: { type: exec, command: [/bin/echo], env: { CALL: ▸"{{ call.callId }}" } }',
    path: 'targets.crm.env.CALL',
    words: /^has \{\{ in it, which is not filled in for programs/,
  },
}
