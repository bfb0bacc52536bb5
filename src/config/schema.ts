import * as z from 'zod'
import { requiredAs } from './plain-words.ts'
import { adminSchema } from './schema/admin-schema.ts'
import { logSchema } from './schema/log-schema.ts'
import { outboxSchema } from './schema/outbox-schema.ts'
import { retrySchema } from './schema/retry-schema.ts'
import { routeSchema } from './schema/route-schema.ts'
import { name } from './schema/scalars.ts'
import { deliverySchema, serverSchema } from './schema/server-schema.ts'
import { sourceSchema } from './schema/source-schema.ts'
import { targetSchema } from './schema/target-schema.ts'
import { tracingSchema } from './schema/tracing-schema.ts'
import { ultravoxListSchema, ultravoxSchema } from './schema/ultravox-schema.ts'

/**
 * The one declaration of `relay.yaml`: types, validation, defaults, the JSON Schema for editors, and (in the
 * descriptions) the reference. What needs more than one key to be judged is in `checks.ts`.
 */
export const relaySchema = z.strictObject({
  server: serverSchema.prefault({}).meta({ description: 'The listener that webhooks come in on.' }),
  outbox: outboxSchema.prefault({}).meta({ description: 'Where events and their deliveries are kept.' }),
  delivery: deliverySchema.prefault({}).meta({ description: 'What holds for all deliveries.' }),
  sources: named(sourceSchema, 'where webhooks come in, as in sources: { ultravox: { scheme: ultravox, ... } }').meta({
    description: 'Where webhooks come in, by name.',
  }),
  targets: named(targetSchema, 'where events go, as in targets: { crm: { type: http, ... } }').meta({
    description: 'Where events go, by name.',
  }),
  routes: z
    .array(routeSchema, { error: requiredAs('which events go where, as in routes: [{ events: ["*"], to: [crm] }]') })
    .min(1)
    .meta({ description: 'Which events go to which targets. All routes are asked; the order does not matter.' }),
  retry: retrySchema
    .prefault({})
    .meta({ description: 'When to try again. For all targets; each may override any key.' }),
  ultravox: z.union([ultravoxSchema, ultravoxListSchema]).optional().meta({
    description:
      "The provider's side: its REST API, the webhook there, and reconciliation. A list for several accounts, each with a name of its own (account).",
  }),
  log: logSchema.prefault({}).meta({ description: 'What is logged, on standard output.' }),
  admin: adminSchema.optional().meta({
    description: 'A second listener, for operators: health, metrics and an API. Absent: there is none.',
  }),
  tracing: tracingSchema.optional().meta({
    description: 'Where spans of requests and attempts are exported to. Absent: none are. A change takes a restart.',
  }),
})

function named<Schema extends z.ZodType>(schema: Schema, example: string) {
  return z
    .record(name, schema, { error: requiredAs(example) })
    .refine((entries) => Object.keys(entries).length > 0, `has nothing in it: write ${example}`)
}

/** `relay.yaml` as validated, with every default filled in. */
export type RelayFile = z.output<typeof relaySchema>

/**
 * The schema for a file's content. Where a key may be a mapping or a list, it declares only the form that is used: a union
 * would report neither's problems.
 */
export function schemaFor(value: unknown) {
  const isList =
    typeof value === 'object' && value !== null && Array.isArray((value as { ultravox?: unknown }).ultravox)
  const ultravox = isList ? ultravoxListSchema : ultravoxSchema
  return relaySchema.extend({ ultravox: ultravox.optional() })
}
