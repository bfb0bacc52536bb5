import type { Refusals } from '../relay-yaml.ts'
import { http, server } from './section-text.ts'

export const scalarRefusals: Refusals = {
  'a duration without a unit': { yaml: http('timeout: ▸60'), path: 'targets.crm.timeout', words: /write 60s, not 60/ },
  'a quoted duration without a unit': {
    yaml: http('timeout: ▸"60"'),
    path: 'targets.crm.timeout',
    words: /needs a unit/,
  },
  'a duration with an unknown unit': {
    yaml: http('timeout: ▸2y'),
    path: 'targets.crm.timeout',
    words: /must be a duration, such as 500ms/,
  },
  'a duration out of range': { yaml: http('timeout: ▸30d'), path: 'targets.crm.timeout', words: /from 1ms to 1d/ },
  'a size without a unit': { yaml: server('bodyLimit: ▸5'), path: 'server.bodyLimit', words: /write 5kb, not 5/ },
  'a number out of range': {
    yaml: http('concurrency: ▸0'),
    path: 'targets.crm.concurrency',
    words: /whole number from 1 to 1000/,
  },
  'a word where a number belongs': {
    yaml: http('concurrency: ▸many'),
    path: 'targets.crm.concurrency',
    words: /whole number from 1 to 1000/,
  },
  'a jitter over 1': { yaml: 'retry: { jitter: ▸20 }', path: 'retry.jitter', words: /number from 0 to 1/ },
  'half of a rate limit': {
    yaml: http('▸rateLimit: { max: 3 }'),
    path: 'targets.crm.rateLimit.per',
    words: /is missing: write a duration/,
  },
}
