import { readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import t from 'tap'
import { parse } from 'yaml'
import { relayJsonSchema } from '../../src/config/json-schema.ts'
import { completed } from './relay-yaml.ts'

const accepts = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(relayJsonSchema())

t.test('config/relay.schema.json is fresh', async (t) => {
  const file = readFileSync(new URL('../../../config/relay.schema.json', import.meta.url), 'utf8')
  t.equal(file, `${JSON.stringify(relayJsonSchema(), null, 2)}\n`, 'the declaration has changed: run npm run schema')
})

t.test('every key has a description', async (t) => {
  const undescribed: string[] = []
  const walk = (schema: unknown, path: string): void => {
    if (typeof schema !== 'object' || schema === null) return
    for (const [key, value] of Object.entries(schema)) {
      if (key === 'properties') {
        for (const [name, property] of Object.entries(value as Record<string, { description?: string }>)) {
          // The inside of a Slack block is Slack's to describe.
          if (property.description === undefined && !path.includes('/blocks')) undescribed.push(`${path}/${name}`)
          walk(property, `${path}/${name}`)
        }
      } else walk(value, path)
    }
  }
  walk(relayJsonSchema(), '')
  t.strictSame(undescribed, [])
})

t.test('an editor takes references in place of durations, numbers and words', async (t) => {
  const yaml = `
server: { listen: "\${L}", bodyLimit: "\${B}", rateLimit: { maxRefused: "\${N}" } }
targets:
  crm: { type: http, url: "\${URL}", method: "\${M}", timeout: "\${T:-10s}", retryOn: ["\${S}"] }
retry: { factor: "\${F}" }
`
  t.ok(accepts(parse(completed(yaml))), JSON.stringify(accepts.errors))
})

t.test('an editor marks mistyped keys, missing units and secrets that are not used', async (t) => {
  const mistakes = [
    'sever: {}',
    'retry: { maxDelay: 60 }',
    'retry: { maxDelay: "60" }',
    'targets: { crm: { type: http, url: "https://x/", timout: 1s } }',
    'targets: { crm: { type: http } }',
    'sources: { a: { scheme: none, secrets: [x-long-enough-secret] } }',
    'sources: { "a b": { scheme: none } }',
  ]
  for (const yaml of mistakes) t.notOk(accepts(parse(completed(yaml))), yaml)
})
