import * as z from 'zod'
import { REFERENCE_PATTERN } from './schema/scalars.ts'
import { relaySchema } from './schema.ts'

/** The JSON Schema (draft 2020-12) of `relay.yaml`, for editors. */
export function relayJsonSchema(): object {
  const schema = z.toJSONSchema(relaySchema, { io: 'input', override })
  const { $schema, ...rest } = schema
  return {
    $schema,
    title: 'ultravox-relay configuration',
    description: 'relay.yaml. In every string, ${NAME}, ${NAME:-default}, ${file:/path} and ${credential:name} work.',
    ...rest,
  }
}

function override({ zodSchema, jsonSchema }: { zodSchema: unknown; jsonSchema: z.core.JSONSchema.BaseSchema }): void {
  admitReferences(jsonSchema)
  if (zodSchema instanceof z.ZodPipe && zodSchema.def.in instanceof z.ZodTransform) admitOne(jsonSchema)
  // A place for anchors.
  if (zodSchema === relaySchema) jsonSchema.patternProperties = { '^x-': {} }
}

/** A list of one may be written as its element, see `listOrOne`. */
function admitOne(schema: z.core.JSONSchema.BaseSchema): void {
  const { type, items, minItems } = schema
  schema.anyOf = [{ type, items, minItems } as z.core.JSONSchema.BaseSchema, { type: 'string', minLength: 1 }]
  delete schema.type
  delete schema.items
  delete schema.minItems
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
