import fc from 'fast-check'
import { anyText } from '../any-text.ts'

/** The part of OpenAPI's schemas that `openapi.yaml` uses, with its references resolved. */
export interface Schema {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean'
  readonly format?: string
  readonly nullable?: boolean
  readonly enum?: readonly unknown[]
  readonly maxLength?: number
  readonly minimum?: number
  readonly maximum?: number
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: Schema
  readonly items?: Schema
}

/** Making one takes far longer than drawing from it. */
const made = new WeakMap<Schema, fc.Arbitrary<unknown>>()

/** Any value that the schema allows: fields that need not be there are sometimes left out, nullable ones null. */
export function valuesOf(schema: Schema): fc.Arbitrary<unknown> {
  const values = made.get(schema) ?? valuesOrNull(schema)
  made.set(schema, values)
  return values
}

function valuesOrNull(schema: Schema): fc.Arbitrary<unknown> {
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum)
  const values = notNull(schema)
  return schema.nullable === true ? fc.option(values) : values
}

function notNull(schema: Schema): fc.Arbitrary<unknown> {
  switch (schema.type) {
    case 'object':
      return objects(schema)
    case 'array':
      return fc.array(valuesOf(schema.items!), { maxLength: 3 })
    case 'string':
      return strings(schema)
    case 'integer':
      return fc.integer({ min: 0 })
    case 'number':
      return fc.double({ min: schema.minimum ?? 0, max: schema.maximum ?? 1e9, noNaN: true })
    case 'boolean':
      return fc.boolean()
    default:
      return fc.jsonValue()
  }
}

function objects({ properties, required = [], additionalProperties }: Schema): fc.Arbitrary<unknown> {
  if (properties === undefined) return fc.dictionary(fc.string(), valuesOf(additionalProperties ?? {}), { maxKeys: 3 })
  const fields = Object.entries(properties).map(([name, schema]) => [name, valuesOf(schema)] as const)
  return fc.record(Object.fromEntries(fields), { requiredKeys: [...required] })
}

function strings({ format, maxLength }: Schema): fc.Arbitrary<string> {
  if (format === 'uuid') return fc.uuid()
  if (format === 'uri') return fc.webUrl({ size: 'small' }).filter((url) => url.length <= (maxLength ?? 1_000))
  if (format === 'date-time') return times
  return anyText({ maxLength: maxLength ?? 50 }).filter((text) => text.length <= (maxLength ?? 1_000))
}

/** As RFC 3339 lets them be written: with up to nine fraction digits, or none, and any offset. */
const times = fc
  .record({
    seconds: fc.integer({ min: Date.UTC(2020, 0) / 1000, max: Date.UTC(2040, 0) / 1000 }),
    fraction: fc.stringMatching(/^(\.\d{1,9})?$/),
    offset: fc.constantFrom('Z', '+00:00', '-07:00', '+05:30'),
  })
  .map(({ seconds, fraction, offset }) => new Date(seconds * 1000).toISOString().slice(0, 19) + fraction + offset)
