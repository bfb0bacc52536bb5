import type { Refusals } from '../relay-yaml.ts'
import { server } from './section-text.ts'

export const serverRefusals: Refusals = {
  'listening without a port': { yaml: server('listen: ▸127.0.0.1'), path: 'server.listen', words: /host:port/ },
  'listening on a port that is none': {
    yaml: server('listen: ▸127.0.0.1:65536'),
    path: 'server.listen',
    words: /0 to 65535/,
  },
  'listening on bare IPv6': { yaml: server('listen: ▸::1:8080'), path: 'server.listen', words: /IPv6 goes into \[ \]/ },
  'listening on a mistyped address': {
    yaml: server('listen: ▸127.0.0.300:80'),
    path: 'server.listen',
    words: /host:port/,
  },
  'a proxy that is no address': {
    yaml: server('trustProxy: [▸nginx]'),
    path: 'server.trustProxy[0]',
    words: /IP address or a CIDR/,
  },
  'a proxy with an impossible prefix': {
    yaml: server('trustProxy: [▸10.0.0.0/33]'),
    path: 'server.trustProxy[0]',
    words: /CIDR/,
  },
  'trusting everyone as a proxy': {
    yaml: server('trustProxy: [▸0.0.0.0/0]'),
    path: 'server.trustProxy[0]',
    words: /every client/,
  },
}
