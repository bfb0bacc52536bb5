import type { Refusals } from '../relay-yaml.ts'
import { route } from './section-text.ts'

export const routeRefusals: Refusals = {
  'an unknown target in a route': {
    yaml: route('events: ["*"], to: [crm, ▸crn]'),
    path: 'routes[0].to[1]',
    words: /no target "crn" \(did you mean "crm"\?\)/,
  },
  'an unknown target like no other': {
    yaml: route('events: ["*"], to: [crm, ▸billing]'),
    path: 'routes[0].to[1]',
    words: /no target "billing": the targets are crm/,
  },
  'a target twice in one route': {
    yaml: route('events: ["*"], to: [crm, ▸crm]'),
    path: 'routes[0].to[1]',
    words: /already: remove it/,
  },
  'a target no route leads to': {
    yaml: 'targets:\n  crm: { type: http, url: "https://x/" }\n  ▸spare: { type: http, url: "https://y/" }',
    path: 'targets.spare',
    words: /no route leads.*never used.*remove it/,
  },
  'a route for a source that is not there': {
    yaml: route('events: ["*"], to: [crm], source: ▸ultarvox'),
    path: 'routes[0].source',
    words: /not the name of a source \(did you mean "ultravox"\?\)/,
  },
  'a route for several sources, one of which is not there': {
    yaml: route('events: ["*"], to: [crm], source: [ultravox, ▸callbacks]'),
    path: 'routes[0].source[1]',
    words: /not the name of a source: the sources are ultravox/,
  },
  "a route for a source and the relay's own events": {
    yaml: route('events: ["*", ▸relay.*], to: [crm], source: ultravox'),
    path: 'routes[0].events[1]',
    words: /never matches.*a route without source/,
  },
  'a route by source behind one for every source': {
    yaml: 'routes:\n  - { events: [call.*], to: [crm] }\n  - ▸{ events: [call.ended], source: ultravox, to: [crm] }',
    path: 'routes[1]',
    words: /unreachable: routes\[0\] already sends/,
  },
  'a route with no events': {
    yaml: 'routes:\n  - { events: ["*"], to: [crm] }\n  - { events: ▸[], to: [crm] }',
    path: 'routes[1].events',
    words: /never sends anything/,
  },
  'a route with no targets': {
    yaml: 'routes:\n  - { events: ["*"], to: [crm] }\n  - { events: ["*"], to: ▸[] }',
    path: 'routes[1].to',
    words: /never sends anything/,
  },
  'a route behind one that takes everything': {
    yaml: 'routes:\n  - { events: [call.*], to: [crm] }\n  - ▸{ events: [call.ended, call.b*], when: "true", to: [crm] }',
    path: 'routes[1]',
    words: /unreachable: routes\[0\] already sends these events to these targets/,
  },
  'a route behind two that together take everything': {
    yaml: 'routes:\n  - { events: [call.ended], to: [crm] }\n  - { events: [call.billed], to: [crm] }\n  - ▸{ events: [call.ended, call.billed], to: [crm] }',
    path: 'routes[2]',
    words: /unreachable: routes\[0\] and routes\[1\] already send/,
  },
  'a condition that is no JSONata': {
    yaml: route('events: ["*"], to: [crm], when: "call.x = ▸)"'),
    path: 'routes[0].when',
    words: /not valid JSONata/,
  },
  'a condition that is no text': {
    yaml: route('events: ["*"], to: [crm], when: ▸true'),
    path: 'routes[0].when',
    words: /must be text, not true or false/,
  },
  'a condition with a reference where JSONata has no texts': {
    yaml: route('events: ["*"], to: [crm], when: ▸"$contains(call.summary, /${WORD}/)"'),
    path: 'routes[0].when',
    words: /^a reference cannot stand in a regular expression: compare with a text/,
    env: { WORD: 'marked-secret' },
  },
  'a condition with a reference in a name': {
    yaml: route('events: ["*"], to: [crm], when: ▸"call.metadata.`${NAME}` = 1"'),
    path: 'routes[0].when',
    words: /^a reference cannot stand in a name between backquotes/,
    env: { NAME: 'marked-secret' },
  },
}
