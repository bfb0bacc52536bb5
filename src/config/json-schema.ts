import * as z from 'zod'
import { REFERENCE_PATTERN } from './schema/scalars.ts'
import { relaySchema } from './schema.ts'

/** The JSON Schema (draft 2020-12) of `relay.yaml`, for editors. */
export function relayJsonSchema(): object {
  const schema = z.toJSONSchema(relaySchema, { io: 'input', override: ({ jsonSchema }) => admitReferences(jsonSchema) })
  const { $schema, ...rest } = schema
  return {
    $schema,
    title: 'ultravox-relay configuration',
    description: 'relay.yaml. In every string, ${NAME}, ${NAME:-default}, ${file:/path} and ${credential:name} work.',
    ...rest,
  }
}

/** A choice of words may come from a `${...}` reference too. */
function admitReferences(schema: z.core.JSONSchema.BaseSchema): void {
  if (schema.enum === undefined) return
  schema.anyOf = [
    { type: 'string', enum: schema.enum },
    { type: 'string', pattern: REFERENCE_PATTERN },
  ]
  delete schema.type
  delete schema.enum
}
