import type { Refusals } from '../relay-yaml.ts'
import { ultravox } from './section-text.ts'

export const retentionRefusals: Refusals = {
  'an age without a unit': {
    yaml: 'outbox: { retention: { delivered: ▸30 } }',
    path: 'outbox.retention.delivered',
    words: /needs a unit/,
  },
  'keys that are forgotten while the provider may still send them again': {
    yaml: 'outbox: { retention: { keys: ▸1d } }',
    path: 'outbox.retention.keys',
    words: /from 2d to/,
  },
  'keys that are forgotten while reconciliation looks for their events': {
    yaml: `outbox: { retention: { keys: ▸5d } }\n${ultravox('reconcile: { source: ultravox, lookback: 5d }')}`,
    path: 'outbox.retention.keys',
    words: /not longer than ultravox\.reconcile\.lookback/,
  },
  'a misspelt age': {
    yaml: 'outbox: { retention: { ▸deliverd: 30d } }',
    path: 'outbox.retention.deliverd',
    words: /did you mean "delivered"/,
  },
  'an outbox with room for nothing': {
    yaml: 'outbox: { maxSize: ▸1kb }',
    path: 'outbox.maxSize',
    words: /from 1mb to/,
  },
}
