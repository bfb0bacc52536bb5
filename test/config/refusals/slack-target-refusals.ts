import type { Refusals } from '../relay-yaml.ts'
import { slack } from './section-text.ts'

export const slackTargetRefusals: Refusals = {
  'a slack url that is none': {
    yaml: 'targets:\n  crm: { type: slack, webhookUrl: ▸T0/B0/marked-secret }',
    path: 'targets.crm.webhookUrl',
    words: /whole URL/,
  },
  'a slack url at a metadata address': {
    yaml: 'targets:\n  crm: { type: slack, webhookUrl: ▸"https://168.63.129.16/marked-secret" }',
    path: 'targets.crm.webhookUrl',
    words: /leads to the address of a cloud metadata service, which is never connected to/,
  },
  'a slack text that is no JSONata': {
    yaml: slack("text: 'ended: {{call.▸)}}'"),
    path: 'targets.crm.text',
    words: /not valid JSONata/,
  },
  'a slack text with no end': {
    yaml: slack('text: "ended: ▸{{call"'),
    path: 'targets.crm.text',
    words: /no closing "}}"/,
  },
  'a slack text over several lines': {
    yaml: slack('text: ▸|\n      one\n      {{call.)}}'),
    path: 'targets.crm.text',
    words: /not valid JSONata/,
  },
  'a string in slack blocks that is no JSONata': {
    yaml: slack('blocks:\n      - type: section\n        text: { type: mrkdwn, text: "▸{{oops" }'),
    path: 'targets.crm.blocks[0].text.text',
    words: /no closing/,
  },
  'a slack block with no type': {
    yaml: slack('blocks: [▸{ text: a }]'),
    path: 'targets.crm.blocks[0].type',
    words: /is missing: write the type/,
  },
  'a key of another kind of target': {
    yaml: slack('▸url: https://x/'),
    path: 'targets.crm.url',
    words: /not a key known here/,
  },
}
