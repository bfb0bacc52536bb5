import type { Refusals } from '../relay-yaml.ts'
import { http, server, source } from './section-text.ts'

export const formRefusals: Refusals = {
  'an unknown section near a known one': {
    yaml: '▸retries: {}',
    path: 'retries',
    words: /not a key known here.*sources/,
  },
  'a mistyped section': { yaml: '▸sever: {}', path: 'sever', words: /did you mean "server"/ },
  'a mistyped key of a target': {
    yaml: http('▸timout: 1s'),
    path: 'targets.crm.timout',
    words: /did you mean "timeout"/,
  },
  'a key that is nothing like a known one': {
    yaml: http('▸colour: red'),
    path: 'targets.crm.colour',
    words: /there are type, url, method, headers/,
  },
  'a missing url': {
    yaml: 'targets:\n  ▸crm: { type: http }',
    path: 'targets.crm.url',
    words: /is missing: write .*url: https/,
  },
  'a missing type': {
    yaml: 'targets:\n  ▸crm: { url: "https://x/" }',
    path: 'targets.crm.type',
    words: /missing: write one of http, slack, exec/,
  },
  'a mistyped type': {
    yaml: 'targets:\n  crm: { type: ▸htp }',
    path: 'targets.crm.type',
    words: /one of http, slack, exec.*did you mean "http"/,
  },
  'a missing events in a route': {
    yaml: 'routes:\n  - ▸{ to: [crm] }',
    path: 'routes[0].events',
    words: /is missing: write .*events/,
  },
  'a number where text belongs': {
    yaml: source('secrets: [▸12345]'),
    path: 'sources.ultravox.secrets[0]',
    words: /must be text, not a number: put it into quotes/,
  },
  'text where a list belongs': {
    yaml: source('secrets: ▸abc'),
    path: 'sources.ultravox.secrets',
    words: /must be a list.*not text/,
  },
  'a list where a mapping belongs': { yaml: 'server: ▸[1]', path: 'server', words: /must be a mapping.*not a list/ },
  'a key with nothing behind it': {
    yaml: '▸server:\n',
    path: 'server',
    words: /has no value: write one, indent what belongs to it, or remove the key/,
  },
  'a duplicate key': {
    yaml: server('listen: 127.0.0.1:1\n  ▸listen: 127.0.0.1:2'),
    path: 'server.listen',
    words: /already, on line 2/,
  },
  'a section with nothing in it': { yaml: 'routes: ▸[]', path: 'routes', words: /has nothing in it/ },
}
