import t from 'tap'
import { checkLoops } from '../../src/config/checks/loops.ts'
import { draftOf } from '../../src/config/draft.ts'
import { load, refuses, warns } from './relay-yaml.ts'

const SURROUNDINGS = { env: {}, directory: '/', now: 0, written: () => undefined }
const MACHINE = ['relay-1', '10.0.0.5', 'fe80::1', '2001:db8::5', '127.0.0.1']

/** What is warned about of one target. */
function loopsOf({ listen = '127.0.0.1:8080', url = '', ...target }: Record<string, unknown>): string[] {
  const draft = draftOf(
    {
      server: { listen },
      sources: { ultravox: { scheme: 'ultravox', secrets: ['s'] }, open: { scheme: 'none', path: '/open' } },
      targets: { crm: { type: 'http', url, ...target } },
      routes: [],
      ultravox: {
        apiKey: 'k',
        webhook: { url: 'https://relay.example.com/in/ultravox', events: ['call.ended'], source: 'ultravox' },
      },
    },
    SURROUNDINGS,
  )
  return [...checkLoops(draft, MACHINE)].map(({ message }) => message)
}

t.test('a target that leads back to the relay is warned about, however its address is written', async (t) => {
  const loops: Record<string, unknown>[] = [
    { url: 'http://127.0.0.1:8080/webhooks/ultravox' },
    { url: 'http://localhost:8080/webhooks/ultravox?a=b' },
    { url: 'http://LOCALHOST.:8080/open' },
    { url: 'http://[::1]:8080/open' },
    { url: 'http://0.0.0.0:8080/open' },
    { url: 'http://[::ffff:127.0.0.1]:8080/open' },
    { url: 'http://2130706433:8080/open' },
    { url: 'http://localhost/open', listen: '127.0.0.1:80' },
    { url: 'https://localhost/open', listen: '127.0.0.1:443' },
    { url: 'http://localhost:8080/open', listen: '0.0.0.0:8080' },
    { url: 'http://10.0.0.5:8080/open', listen: '0.0.0.0:8080' },
    { url: 'http://[2001:DB8:0::5]:8080/open', listen: '[::]:8080' },
    { url: 'http://relay-1:8080/open', listen: '[::]:8080' },
    { url: 'http://relay-1:8080/open', listen: '10.0.0.5:8080' },
    { url: 'http://10.0.0.5:8080/open', listen: '10.0.0.5:8080' },
    { url: 'http://relay.internal:8080/open', listen: 'relay.internal:8080' },
    { url: 'https://relay.example.com/in/ultravox' },
    { url: 'https://RELAY.example.com:443/in/ultravox', proxy: 'http://proxy:3128' },
    { url: 'https://relay.example.com/webhooks/ultravox' },
  ]
  for (const each of loops) t.match(loopsOf(each), [/leads back to this relay \(sources\.\w+\)/], JSON.stringify(each))
})

t.test('a target that leads elsewhere is not warned about', async (t) => {
  const others: Record<string, unknown>[] = [
    { url: 'http://127.0.0.1:8081/open' },
    { url: 'http://127.0.0.1:8080/other' },
    { url: 'http://127.0.0.1:8080/open/' },
    { url: 'http://10.0.0.5:8080/open' },
    { url: 'http://10.0.0.6:8080/open', listen: '0.0.0.0:8080' },
    { url: 'http://relay-1:8080/open', listen: '10.0.0.6:8080' },
    { url: 'http://127.0.0.1:0/open', listen: '10.0.0.6:0' },
    { url: 'https://other.example.com/in/ultravox' },
    { url: 'http://relay.example.com/in/ultravox' },
    { url: 'http://127.0.0.1:8080/open', proxy: 'http://proxy:3128' },
    { url: 'http://127.0.0.1:8080/open', socketPath: '/run/app.sock' },
    { url: 'http+unix://%2Frun%2Fapp.sock/open' },
    { url: 'not a url' },
  ]
  for (const each of others) t.same(loopsOf(each), [], JSON.stringify(each))
})

t.test('the warning is told at the URL, without the URL', async (t) => {
  warns(t, {
    yaml: 'targets:\n  crm: { type: http, url: ▸"http://127.0.0.1:8080/webhooks/ultravox?key=hidden" }',
    path: 'targets.crm.url',
    words: /^(?!.*hidden).*leads back to this relay \(sources\.ultravox\).*loop_detected/s,
  })
  t.same(load(t, 'targets:\n  crm: { type: http, url: "http://127.0.0.1:8081/webhooks/ultravox" }').warnings, [])
})

t.test('no target can set the header by which loops end', async (t) => {
  refuses(t, {
    yaml: 'targets:\n  crm: { type: http, url: "https://x/", headers: { ▸X-Relay-Via: "" } }',
    path: 'targets.crm.headers.X-Relay-Via',
    words: /is set by the relay itself/,
  })
})
