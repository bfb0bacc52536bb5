import * as z from 'zod'
import type { Path } from './finding.ts'
import { adminSchema } from './schema/admin-schema.ts'
import { outboxSchema } from './schema/outbox-schema.ts'
import { retrySchema } from './schema/retry-schema.ts'
import { routeSchema } from './schema/route-schema.ts'
import { serverSchema } from './schema/server-schema.ts'
import { noneSourceSchema, ultravoxSourceSchema } from './schema/source-schema.ts'
import { targetSchemas } from './schema/target-schema.ts'
import { tracingSchema } from './schema/tracing-schema.ts'
import { ultravoxSchema } from './schema/ultravox-schema.ts'

/** The keys of a part that are valid by themselves; what is not, or is missing without a default, is left out. */
type Sound<Schema extends z.ZodType> = Partial<z.output<Schema>>

/**
 * What is sound of a configuration that as a whole may not be. The checks that need several keys work on this, so that
 * one mistake does not hide another: every name is here, even where all else about a target or source is wrong.
 */
export interface Draft {
  readonly server: Sound<typeof serverSchema>
  readonly outbox: Sound<typeof outboxSchema>
  readonly retry: Sound<typeof retrySchema>
  readonly sources: ReadonlyMap<string, Sound<typeof ultravoxSourceSchema> | Sound<typeof noneSourceSchema>>
  readonly targets: ReadonlyMap<string, SoundTarget>
  readonly routes: readonly Sound<typeof routeSchema>[]
  /** The accounts at the provider, each with its place in the file. */
  readonly ultravox: readonly SoundAccount[]
  /** Absent where there is no such section. */
  readonly admin: Sound<typeof adminSchema> | undefined
  /** Absent where there is no such section. */
  readonly tracing: Sound<typeof tracingSchema> | undefined
  readonly surroundings: Surroundings
}

export type SoundTarget =
  | Sound<typeof targetSchemas.http>
  | Sound<typeof targetSchemas.slack>
  | Sound<typeof targetSchemas.exec>

export type SoundAccount = Sound<typeof ultravoxSchema> & { readonly path: Path }

/** What the checks need to know besides the values. */
export interface Surroundings {
  readonly env: NodeJS.ProcessEnv
  /** Of the configuration file. */
  readonly directory: string
  /** Epoch milliseconds. */
  readonly now: number
  /** What is at a path as it stands in the file, references unresolved: the only form in which it may be shown. */
  readonly written: (path: Path) => unknown
}

/** Takes what it can from `value`, the file's content with its references resolved. */
export function draftOf(value: unknown, surroundings: Surroundings): Draft {
  const root = mapping(value)
  return {
    server: sound(serverSchema, root.server ?? {}),
    outbox: sound(outboxSchema, root.outbox ?? {}),
    retry: sound(retrySchema, root.retry ?? {}),
    sources: mapped(root.sources, (source) => {
      return mapping(source).scheme === 'none' ? sound(noneSourceSchema, source) : sound(ultravoxSourceSchema, source)
    }),
    targets: mapped(root.targets, soundTarget),
    routes: Array.isArray(root.routes) ? root.routes.map((route) => sound(routeSchema, route)) : [],
    ultravox: accountsIn(root.ultravox),
    admin: root.admin === undefined ? undefined : sound(adminSchema, root.admin),
    tracing: root.tracing === undefined ? undefined : sound(tracingSchema, root.tracing),
    surroundings,
  }
}

function accountsIn(ultravox: unknown): SoundAccount[] {
  if (ultravox === undefined) return []
  if (!Array.isArray(ultravox)) return [{ ...sound(ultravoxSchema, ultravox), path: ['ultravox'] }]
  return ultravox.map((account, index) => ({ ...sound(ultravoxSchema, account), path: ['ultravox', index] }))
}

function soundTarget(target: unknown): SoundTarget {
  const { type } = mapping(target)
  return isTargetType(type) ? sound<z.ZodObject>(targetSchemas[type], target) : {}
}

function isTargetType(type: unknown): type is keyof typeof targetSchemas {
  return typeof type === 'string' && Object.hasOwn(targetSchemas, type)
}

function sound<Schema extends z.ZodObject>(schema: Schema, value: unknown): Sound<Schema> {
  const given = mapping(value)
  const fields = Object.entries(schema.shape).flatMap(([key, field]) => {
    // There, but undefined: a reference that cannot be had. Its default would be the wrong thing to judge by.
    if (Object.hasOwn(given, key) && hasGap(given[key])) return []
    const parsed = z.safeParse(field, given[key])
    return parsed.success ? [[key, parsed.data]] : []
  })
  return Object.fromEntries(fields) as Sound<Schema>
}

function hasGap(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return value === undefined
  return Object.values(value).some(hasGap)
}

function mapped<T>(value: unknown, convert: (entry: unknown) => T): Map<string, T> {
  return new Map(Object.entries(mapping(value)).map(([name, entry]) => [name, convert(entry)]))
}

function mapping(value: unknown): Record<string, unknown> {
  const isMapping = typeof value === 'object' && value !== null && !Array.isArray(value)
  return isMapping ? (value as Record<string, unknown>) : {}
}
