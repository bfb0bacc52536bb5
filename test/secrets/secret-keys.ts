import { z } from 'zod'
import { MISSING } from '../../src/config/schema/scalars.ts'
import { relaySchema } from '../../src/config/schema.ts'
import { Secret } from '../../src/domain/secret.ts'

/**
 * All keys of `relay.yaml` that are declared to hold a secret, from the schema: `sources.*.secrets`, `targets.http.url`,
 * `targets.http.sign.standard-webhooks.secrets`. So a new one shows up here by itself.
 */
export function secretKeys(): string[] {
  return [...new Set(keysIn(relaySchema, []))].sort()
}

function keysIn(schema: unknown, path: readonly string[]): string[] {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodPrefault) return keysIn(schema.unwrap(), path)
  if (schema instanceof z.ZodDiscriminatedUnion) {
    const parent = path.at(-1) === '*' ? path.slice(0, -1) : path
    return schema.options.flatMap((option) => {
      const tag = (option as z.ZodObject).shape[schema.def.discriminator] as z.ZodLiteral
      return keysIn(option, [...parent, String(tag.value)])
    })
  }
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((option) => keysIn(option, path))
  if (schema instanceof z.ZodObject) {
    return Object.entries(schema.shape).flatMap(([name, field]) => keysIn(field, [...path, name]))
  }
  if (schema instanceof z.ZodRecord) return keysIn(schema.valueType, [...path, '*'])
  if (schema instanceof z.ZodArray) return keysIn(schema.element, path)
  // A transform that is no secret's may not know what to do with this text.
  const parsed = (schema as z.ZodType).safeParse(MISSING)
  return parsed.success && parsed.data instanceof Secret ? [path.join('.')] : []
}
