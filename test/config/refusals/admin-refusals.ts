import type { Refusals } from '../relay-yaml.ts'
import { admin } from './section-text.ts'

export const adminRefusals: Refusals = {
  'an admin listener that is nowhere': {
    yaml: admin('token: "0123456789abcdef"').replace('admin', '▸admin'),
    path: 'admin.listen',
    words: /listen: 127\.0\.0\.1:8081/,
  },
  'an admin listener without a port': {
    yaml: admin('listen: ▸127.0.0.1'),
    path: 'admin.listen',
    words: /host:port.*unix:/,
  },
  'an admin socket with a path that no socket can have': {
    yaml: admin(`listen: ▸unix:/run/${'x'.repeat(110)}`),
    path: 'admin.listen',
    words: /107 bytes/,
  },
  'an admin listener for all the world without a token': {
    yaml: admin('listen: ▸0.0.0.0:8081'),
    path: 'admin.listen',
    words: /no token: add token: \$\{ADMIN_TOKEN\}/,
  },
  'an admin listener on a name without a token': {
    yaml: admin('listen: ▸relay.internal:8081'),
    path: 'admin.listen',
    words: /no token/,
  },
  'an admin listener where webhooks come in': {
    yaml: `server: { listen: "127.0.0.1:8080" }\n${admin('listen: ▸127.0.0.1:8080')}`,
    path: 'admin.listen',
    words: /port of its own/,
  },
  'an admin token that can be guessed': {
    yaml: admin('listen: 127.0.0.1:8081\n  token: ▸secret'),
    path: 'admin.token',
    words: /16 characters, as from openssl rand/,
  },
  'an admin token that no header can carry': {
    yaml: admin('listen: 127.0.0.1:8081\n  token: ▸sixteen characters and more'),
    path: 'admin.token',
    words: /visible ASCII/,
  },
  'an admin host with a port': {
    yaml: admin('listen: 127.0.0.1:8081\n  hosts: [▸"relay.internal:8081"]'),
    path: 'admin.hosts[0]',
    words: /host name without a port/,
  },
  'a socket mode that YAML takes for a number': {
    yaml: admin('listen: unix:./admin.sock\n  socketMode: ▸0660'),
    path: 'admin.socketMode',
    words: /"0660".*quotes/,
  },
}
