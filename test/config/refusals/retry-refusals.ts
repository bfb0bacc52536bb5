import type { Refusals } from '../relay-yaml.ts'
import { http } from './section-text.ts'

export const retryRefusals: Refusals = {
  'a maxDelay shorter than the initialDelay': {
    yaml: 'retry: { initialDelay: 1m, maxDelay: ▸30s }',
    path: 'retry.maxDelay',
    words: /shorter than initialDelay/,
  },
  'an initialDelay longer than the maxDelay a target inherits': {
    yaml: http('retry: { initialDelay: ▸2h }'),
    path: 'targets.crm.retry.initialDelay',
    words: /maxDelay is shorter/,
  },
}
