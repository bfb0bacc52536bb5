import type { Refusals } from '../relay-yaml.ts'

const tracing = (lines: string) => `tracing:\n  ${lines}\n`

export const tracingRefusals: Refusals = {
  'a collector that is nowhere': {
    yaml: '▸tracing: { sampleRatio: 0.1 }\n',
    path: 'tracing.otlp',
    words: /otlp: http:\/\/127\.0\.0\.1:4318/,
  },
  'a collector with a password': {
    yaml: tracing('otlp: ▸"https://me:marked-secret@x/"'),
    path: 'tracing.otlp',
    words: /headers, as Authorization/,
  },
  'a collector at a metadata address': {
    yaml: tracing('otlp: ▸"http://169.254.169.254:4318"'),
    path: 'tracing.otlp',
    words: /leads to a link-local address, which is never connected to/,
  },
  'a collector with a query': {
    yaml: tracing('otlp: ▸"https://x/?key=marked-secret"'),
    path: 'tracing.otlp',
    words: /put what is secret into headers/,
  },
  'a header for the collector that is none': {
    yaml: tracing('otlp: http://x\n  headers: { ▸"A B": marked-secret }'),
    path: 'tracing.headers["A B"]',
    words: /no header name/,
  },
  'a share of traces that is more than all': {
    yaml: tracing('otlp: http://x\n  sampleRatio: ▸100'),
    path: 'tracing.sampleRatio',
    words: /a number from 0 to 1/,
  },
}
