import { SELF_SIGNED } from '../../targets/self-signed.ts'
import type { Refusals } from '../relay-yaml.ts'
import { ultravox } from './section-text.ts'

const url = 'url: "https://relay.example.com/webhooks/ultravox"'

export const ultravoxRefusals: Refusals = {
  'a webhook that leads to no source': {
    yaml: ultravox(`webhook: { ${url}, source: ▸ultarvox }`),
    path: 'ultravox.webhook.source',
    words: /there is no such source: write ultravox/,
  },
  'reconciliation for a source that is not there': {
    yaml: ultravox('reconcile: { source: ▸other }'),
    path: 'ultravox.reconcile.source',
    words: /there is no such source: write ultravox/,
  },
  'two accounts with one name': {
    yaml: 'ultravox:\n  - { apiKey: a-key }\n  - { apiKey: b-key, account: ▸default }\n',
    path: 'ultravox[1].account',
    words: /the name of another account/,
  },
  'an unknown key in one of several accounts': {
    yaml: 'ultravox:\n  - { apiKey: a-key }\n  - { apiKey: b-key, account: two, ▸webhok: {} }\n',
    path: 'ultravox[1].webhok',
    words: /did you mean "webhook"/,
  },
  'no account at all': { yaml: 'ultravox: ▸[]\n', path: 'ultravox', words: /is empty: write an account/ },
  'a source that names no account where there are several': {
    yaml: 'ultravox:\n  - { apiKey: a-key, account: one }\n  - { apiKey: b-key, account: two }\nsources:\n  ▸ultravox: { scheme: ultravox, secrets: [source-secret] }\n',
    path: 'sources.ultravox',
    words: /Add account: one or two/,
  },
  'a source of an account that is not there': {
    yaml: 'ultravox:\n  - { apiKey: a-key, account: sales }\n  - { apiKey: b-key, account: two }\nsources:\n  ultravox: { scheme: ultravox, secrets: [source-secret], account: ▸sale }\n',
    path: 'sources.ultravox.account',
    words: /not the name of an account in ultravox \(did you mean "sales"/,
  },
  'reconciliation for the source of another account': {
    yaml: 'ultravox:\n  - { apiKey: a-key, account: one, reconcile: { source: ▸ultravox } }\n  - { apiKey: b-key, account: two }\nsources:\n  ultravox: { scheme: ultravox, secrets: [source-secret], account: two }\n',
    path: 'ultravox[0].reconcile.source',
    words: /belongs to the account two, not to one/,
  },
  'an account of a source that verifies nothing': {
    yaml: 'sources:\n  ultravox: { scheme: none, account: ▸sales }\n',
    path: 'sources.ultravox.account',
    words: /no use with "scheme: none"/,
  },
  'reconciliation for nobody': {
    yaml: ultravox('▸reconcile: { every: 5m }'),
    path: 'ultravox.reconcile',
    words: /add source, or ultravox\.webhook/,
  },
  'a webhook for an event the provider does not have': {
    yaml: ultravox(`webhook: { ${url}, source: ultravox, events: [▸call.finished] }`),
    path: 'ultravox.webhook.events[0]',
    words: /call\.started.+call\.billed/,
  },
  'a webhook for no event': {
    yaml: ultravox(`webhook: { ${url}, source: ultravox, events: ▸[] }`),
    path: 'ultravox.webhook.events',
    words: /leave it out for all events/,
  },
  'a webhook with a URL longer than the provider takes': {
    yaml: ultravox(`webhook: { url: ▸"https://relay.example.com/${'x'.repeat(200)}", source: ultravox }`),
    path: 'ultravox.webhook.url',
    words: /longer than 200 characters/,
  },
  'a key with a blank in it': {
    yaml: 'ultravox:\n  apiKey: ▸"my key"\n',
    path: 'ultravox.apiKey',
    words: /plain ASCII with no blanks/,
  },
  'reconciliation for another source than the webhook leads to': {
    yaml: `sources:
  ultravox: { scheme: ultravox, secrets: [a-secret-long-enough] }
  other: { scheme: ultravox, secrets: [another-long-enough-secret] }
ultravox:
  apiKey: test-key
  webhook: { ${url}, source: ultravox }
  reconcile: { source: ▸other }
`,
    path: 'ultravox.reconcile.source',
    words: /every event would be recorded twice.+write ultravox/,
  },
  'a base URL at a metadata address': {
    yaml: ultravox('baseUrl: ▸"http://169.254.169.254/"'),
    path: 'ultravox.baseUrl',
    words: /leads to a link-local address, which is never connected to/,
  },
  'a proxy for the API that is none': {
    yaml: ultravox('proxy: ▸"socks5://proxy:1080"'),
    path: 'ultravox.proxy',
    words: /must be the http:\/\/ URL of a proxy/,
  },
  'a proxy for the API at a metadata address': {
    yaml: ultravox('proxy: ▸"http://[fd00:ec2::254]:3128"'),
    path: 'ultravox.proxy',
    words: /leads to the address of a cloud metadata service, which is never connected to/,
  },
  'an authority for an API without TLS': {
    yaml: ultravox('baseUrl: "http://127.0.0.1:8080"\n  ▸tls: { ca: ca.pem }'),
    path: 'ultravox.tls',
    words: /no use without https/,
    files: { 'ca.pem': SELF_SIGNED.cert },
  },
  'an authority for the API that is none': {
    yaml: ultravox('tls: { ca: ▸note.txt }'),
    path: 'ultravox.tls.ca',
    words: /no sound certificate/,
    files: { 'note.txt': 'marked-secret' },
  },
  'more requests than a key may make': {
    yaml: ultravox('requestsPerSecond: ▸201'),
    path: 'ultravox.requestsPerSecond',
    words: /200/,
  },
  'a base URL that is none': {
    yaml: ultravox('baseUrl: ▸api.ultravox.ai'),
    path: 'ultravox.baseUrl',
    words: /https?:\/\//,
  },
  'a look every millisecond': {
    yaml: ultravox('reconcile: { source: ultravox, every: ▸1ms }'),
    path: 'ultravox.reconcile.every',
    words: /must be from 1s to 1d/,
  },
}
