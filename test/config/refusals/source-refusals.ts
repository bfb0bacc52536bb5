import type { Refusals } from '../relay-yaml.ts'
import { source } from './section-text.ts'

export const sourceRefusals: Refusals = {
  'a source path without a slash': {
    yaml: source('secrets: [a-long-enough-secret], path: ▸hooks'),
    path: 'sources.ultravox.path',
    words: /must start with "\/"/,
  },
  'a source path with a parameter': {
    yaml: source('secrets: [a-long-enough-secret], path: ▸"/a/:b"'),
    path: 'sources.ultravox.path',
    words: /may only have/,
  },
  'a source path with a wildcard': {
    yaml: source('secrets: [a-long-enough-secret], path: ▸"/a/*"'),
    path: 'sources.ultravox.path',
    words: /may only have/,
  },
  'a source path with a query': {
    yaml: source('secrets: [a-long-enough-secret], path: ▸"/a?b#c"'),
    path: 'sources.ultravox.path',
    words: /may only have/,
  },
  'the path of the health check': {
    yaml: source('secrets: [a-long-enough-secret], path: ▸/healthz'),
    path: 'sources.ultravox.path',
    words: /health checks/,
  },
  'two sources with one path': {
    yaml: 'sources:\n  a: { scheme: ultravox, secrets: [x-long-enough-secret], path: /webhooks/b }\n  ▸b: { scheme: ultravox, secrets: [y-long-enough-secret] }',
    path: 'sources.b.path',
    words: /path of sources\.a too/,
  },
  "a source with the name of the relay's own": {
    yaml: 'sources:\n  ▸relay: { scheme: ultravox, secrets: [x-long-enough-secret] }',
    path: 'sources.relay',
    words: /relay's own events are kept: give this source another/,
  },
  'a source that may be silent for no time at all': {
    yaml: source('secrets: [a-long-enough-secret], expectWithin: ▸0s'),
    path: 'sources.ultravox.expectWithin',
    words: /from 1s to 365d/,
  },
  'a source with no scheme': {
    yaml: 'sources:\n  ▸a: { secrets: [x-long-enough-secret] }',
    path: 'sources.a.scheme',
    words: /missing: write one of ultravox, none/,
  },
  'a source with no secret': {
    yaml: source('secrets: ▸[]'),
    path: 'sources.ultravox.secrets',
    words: /nothing in it: write the secret/,
  },
  'a source with its secrets missing': {
    yaml: 'sources:\n  ▸a: { scheme: ultravox }',
    path: 'sources.a.secrets',
    words: /is missing: write secrets: .*, or secretsFile:/,
  },
  'an empty secret': {
    yaml: source('secrets: [▸"${EMPTY}"]'),
    path: 'sources.ultravox.secrets[0]',
    words: /is set, but empty: set it, or write \$\{EMPTY:-\}/,
    env: { EMPTY: '' },
  },
  'a secret that is too long': {
    yaml: source(`secrets: [▸${'x'.repeat(121)}]`),
    path: 'sources.ultravox.secrets[0]',
    words: /120 characters/,
  },
  'a secrets file that is not there': {
    yaml: source('secretsFile: ▸./ultravox.secrets'),
    path: 'sources.ultravox.secretsFile',
    words: /there is no such file: .*webhooks ensure/,
  },
  'a secrets file with nothing but comments in it': {
    yaml: source('secrets: [a-long-enough-secret], secretsFile: ▸./ultravox.secrets'),
    files: { 'ultravox.secrets': '# none yet\n\n' },
    path: 'sources.ultravox.secretsFile',
    words: /has no secret in it: .*webhooks ensure/,
  },
  'a secrets file with a line that is too long': {
    yaml: source('secretsFile: ▸./ultravox.secrets'),
    files: { 'ultravox.secrets': `short\n${'x'.repeat(121)}\n` },
    path: 'sources.ultravox.secretsFile',
    words: /line 2 of .* is longer than 120 characters/,
  },
  'a secrets file with scheme none': {
    yaml: 'sources:\n  a: { scheme: none, secretsFile: ▸x }',
    path: 'sources.a.secretsFile',
    words: /remove secretsFile, or write scheme: ultravox/,
  },
  'secrets with scheme none': {
    yaml: 'sources:\n  a: { scheme: none, secrets: ▸[x-long-enough-secret] }',
    path: 'sources.a.secrets',
    words: /remove secrets, or write scheme: ultravox/,
  },
  'a tolerance with scheme none': {
    yaml: 'sources:\n  a: { scheme: none, tolerance: ▸9s }',
    path: 'sources.a.tolerance',
    words: /remove tolerance/,
  },
  'a source with a blank in its name': {
    yaml: 'sources:\n  ▸a b: { scheme: ultravox, secrets: [x-long-enough-secret] }',
    path: 'sources["a b"]',
    words: /no name: use 1 to 64/,
  },
  'the example secret behind a proxy': {
    yaml: 'server: { trustProxy: [127.0.0.1] }\nsources:\n  a: { scheme: ultravox, secrets: [▸whsec_example_do_not_use] }',
    path: 'sources.a.secrets[0]',
    words: /example secret.*a proxy brings requests/,
  },
  'the example secret where others can reach it': {
    yaml: 'server: { listen: 0.0.0.0:8080 }\nsources:\n  a: { scheme: ultravox, secrets: [▸whsec_example_do_not_use] }',
    path: 'sources.a.secrets[0]',
    words: /example secret.*everybody knows/,
  },
}
