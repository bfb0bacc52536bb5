import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Ajv2020 } from 'ajv/dist/2020.js'
import t from 'tap'
import { parse } from 'yaml'
import { relayJsonSchema } from '../../src/config/json-schema.ts'
import { loadConfig } from '../../src/config/load.ts'
import { SELF_SIGNED, SELF_SIGNED_CRM } from '../targets/self-signed.ts'

/** The tests run from `build/test/config`. */
const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const EXAMPLES = readdirSync(join(ROOT, 'config/examples')).map((name) => `config/examples/${name}`)
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8')
const accepts = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(relayJsonSchema())

t.test('relay.example.yaml loads as it stands, with nothing set', async (t) => {
  const { config, warnings } = loadConfig(join(ROOT, 'relay.example.yaml'), {})
  t.match(warnings, [{ path: 'sources.ultravox.secrets[0]', message: /example secret/ }])
  t.equal(warnings.length, 1, 'but for its secret, which is no secret')
  t.match(config.targets.archive, { type: 'exec', command: [join(ROOT, 'config/hooks/archive.sh')] })
})

t.test('relay.example.yaml still loads when all that is commented out is taken in', async (t) => {
  const yaml = read('relay.example.yaml')
    .replace(/^( +)# (\w+:|- | {2})/gm, '$1$2')
    .replaceAll('./config/hooks/archive.sh', join(ROOT, 'config/hooks/archive.sh'))
  const directory = t.testdir({ 'relay.yaml': yaml })
  const env = {
    ULTRAVOX_WEBHOOK_SECRET: 'a-secret-long-enough',
    CRM_TOKEN: 'a',
    CRM_SECRET: 'another-secret-long-enough',
    SLACK_WEBHOOK_URL: 'https://hooks.slack.test/x',
  }
  const { config } = loadConfig(join(directory, 'relay.yaml'), env)
  t.strictSame(Object.keys(config.targets), ['archive', 'crm', 'ops'])
  t.equal(config.routes.length, 3)
})

for (const file of EXAMPLES) {
  t.test(`${file} loads, with what it asks for in the environment`, async (t) => {
    const CREDENTIALS_DIRECTORY = t.testdir({
      'webhook-secret': 'a-secret-long-enough\n',
      'internal-ca': SELF_SIGNED_CRM.cert,
      'relay-cert': SELF_SIGNED.cert,
      'relay-key': SELF_SIGNED.key,
    })
    const names = [...read(file).matchAll(/\$\{(\w+)\}/g)].map(([, name]) => name!)
    const env = Object.fromEntries(names.map((name) => [name, `a-value-of-${name}`]))
    const { warnings } = loadConfig(join(ROOT, file), {
      ...env,
      CREDENTIALS_DIRECTORY,
      SLACK_WEBHOOK_URL: 'https://hooks.slack.test/x',
      WAREHOUSE_SECRET: `whsec_${Buffer.alloc(32, 7).toString('base64')}`,
    })
    t.strictSame(warnings, [])
  })
}

for (const file of ['relay.example.yaml', ...EXAMPLES]) {
  t.test(`${file} names the JSON Schema, and is valid by it`, async (t) => {
    const [, schema] = /^# yaml-language-server: \$schema=(.*)\n/.exec(read(file)) ?? []
    t.equal(join(ROOT, file, '..', schema ?? ''), join(ROOT, 'config/relay.schema.json'))
    t.ok(accepts(parse(read(file))), JSON.stringify(accepts.errors))
  })
}
