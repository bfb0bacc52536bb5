import type { Refusals } from '../relay-yaml.ts'
import { http } from './section-text.ts'

export const pacingRefusals: Refusals = {
  'onDead without an order': {
    yaml: http('onDead: ▸hold'),
    path: 'targets.crm.onDead',
    words: /add ordered: call/,
  },
  'an order that there is not': {
    yaml: http('ordered: ▸event'),
    path: 'targets.crm.ordered',
    words: /call/,
  },
  'a breaker whose longest pause is shorter than its first': {
    yaml: http('breaker: ▸{ cooldown: 1m, maxCooldown: 30s }'),
    path: 'targets.crm.breaker',
    words: /maxCooldown is shorter/,
  },
  'a pause that is neither on nor off': {
    yaml: http('paused: ▸sometimes'),
    path: 'targets.crm.paused',
    words: /must be true or false/,
  },
}
