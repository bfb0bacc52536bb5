import type { Refusals } from '../relay-yaml.ts'
import { source } from './section-text.ts'

export const referenceRefusals: Refusals = {
  'a variable that is not set': {
    yaml: source('secrets: [▸"${NOT_SET}"]'),
    path: 'sources.ultravox.secrets[0]',
    words: /\$\{NOT_SET\}: this environment variable is not set: set it/,
  },
  'a file that is not there': {
    yaml: source('secrets: [▸"${file:./none}"]'),
    path: 'sources.ultravox.secrets[0]',
    words: /\$\{file:\.\/none\}: the file cannot be read \(there is none\)/,
  },
  'a credential outside of systemd': {
    yaml: source('secrets: [▸"${credential:hook}"]'),
    path: 'sources.ultravox.secrets[0]',
    words: /CREDENTIALS_DIRECTORY is not set.*LoadCredential=hook/,
  },
  'a credential that climbs out': {
    yaml: source('secrets: [▸"${credential:../x}"]'),
    path: 'sources.ultravox.secrets[0]',
    words: /not the name of a credential/,
    env: { CREDENTIALS_DIRECTORY: '/tmp' },
  },
  'a reference that is none': {
    yaml: source('secrets: [▸"${A-B}"]'),
    path: 'sources.ultravox.secrets[0]',
    words: /is not a reference: write \$\{NAME\}/,
  },
  'a reference with no end': {
    yaml: source('secrets: [▸"${A"]'),
    path: 'sources.ultravox.secrets[0]',
    words: /"\$\{" without its "\}"/,
  },
}
