import { join } from 'node:path'
import t from 'tap'
import { stringify } from 'yaml'
import { secretPlaces } from '../../src/config/secret-places.ts'

t.test('the files that hold secrets, and those that stand in the configuration itself', async (t) => {
  const directory = t.testdir({
    'relay.yaml': stringify({
      sources: {
        a: {
          secrets: ['${file:a.secret}', '${ULTRAVOX}', 'inline', '${NAME:-default}', '$${file:literal}'],
          secretsFile: './ultravox.secrets',
        },
      },
      targets: {
        crm: {
          url: 'https://crm.internal/',
          headers: { Authorization: 'Bearer ${file:/run/crm}', 'X-Thread': '{{call.callId}}', 'X-Api-Key': 'inline' },
          proxy: 'http://user:pass@proxy:3128',
          tls: { cert: 'crm.pem', key: 'crm.key' },
          body: { token: '{{event.id}}', text: 'hello' },
        },
        ops: { webhookUrl: 'https://hooks.slack.com/services/T/B/x' },
      },
    }),
  })
  t.same(secretPlaces(join(directory, 'relay.yaml')), {
    files: [join(directory, 'a.secret'), '/run/crm', join(directory, 'ultravox.secrets'), join(directory, 'crm.key')],
    inline: [
      'sources.a.secrets[2]',
      'sources.a.secrets[4]',
      'targets.crm.headers.X-Api-Key',
      'targets.crm.proxy',
      'targets.ops.webhookUrl',
    ],
  })
})
