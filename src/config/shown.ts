import * as z from 'zod'
import { MASK, Secret, withoutKeys } from '../domain/secret.ts'
import { defaultAccount } from './provider-accounts.ts'
import { hasReference, withoutFallbacks } from './references.ts'
import { defaultSourcePath } from './resolve.ts'
import { MISSING } from './schema/scalars.ts'
import { schemaFor } from './schema.ts'

/** Secrets of which is shown where they lead, without user, password, path and query. */
const URLS = ['url', 'webhookUrl', 'proxy']
/** URLs that are no secrets; a key may still be in their query. */
const PLAIN_URLS = ['url', 'baseUrl']
/** What programs and services are told. Nobody has declared what of it is secret. */
const FREE_TEXT = ['command', 'text', 'blocks', 'body']

interface Shown {
  readonly sources: Record<string, Mapping>
  readonly ultravox?: { account: string } | readonly { account: string }[]
}

type Mapping = Record<string, unknown>

/** A value as it stands in the file, and with its references resolved; undefined where they cannot be. */
interface Value {
  readonly written: unknown
  readonly resolved: unknown
}

/**
 * A valid file's content in its own shape, with references resolved and defaults filled in, for people to see: no secret is
 * in it. What comes from a reference that cannot be had is shown as it is written.
 */
export function shownContent(written: unknown, resolved: unknown): object {
  const shown = show(schemaFor(resolved), { written, resolved }) as Shown
  const account = defaultAccount([shown.ultravox ?? []].flat())
  const sources = Object.entries(shown.sources).map(([name, source]) => {
    const defaults = { path: defaultSourcePath(name), ...(source.scheme === 'none' ? {} : { account }) }
    return [name, { ...defaults, ...source }]
  })
  return { ...shown, sources: Object.fromEntries(sources) }
}

/** `key`: in a mapping whose keys are declared. */
function show(schema: unknown, value: Value, key?: string): unknown {
  const { resolved } = value
  if (schema instanceof z.ZodOptional) return isAbsent(value) ? undefined : show(schema.unwrap(), value, key)
  if (schema instanceof z.ZodPrefault) {
    return show(schema.unwrap(), isAbsent(value) ? { ...value, resolved: schema.def.defaultValue } : value, key)
  }
  if (FREE_TEXT.includes(key ?? '')) return freeText(value, key === 'command')
  if (schema instanceof z.ZodDiscriminatedUnion) {
    return show(
      schema.options.find((option) => isOption(option as z.ZodObject, schema.def.discriminator, resolved)),
      value,
    )
  }
  if (schema instanceof z.ZodObject) {
    const entries = Object.entries(schema.shape).map(([name, field]) => [
      name,
      show(field, memberOf(value, name), name),
    ])
    return Object.fromEntries(entries.filter(([, shown]) => shown !== undefined))
  }
  if (schema instanceof z.ZodRecord) {
    const names = Object.keys(resolved as Mapping)
    return Object.fromEntries(names.map((name) => [name, show(schema.valueType, memberOf(value, name))]))
  }
  if (schema instanceof z.ZodArray && Array.isArray(resolved)) {
    return resolved.map((_, index) => show(schema.element, memberOf(value, index)))
  }
  return leaf(schema as z.ZodType, value, key)
}

/** Neither there nor a reference that cannot be had. */
function isAbsent({ written, resolved }: Value): boolean {
  return resolved === undefined && written === undefined
}

function isOption(option: z.ZodObject, discriminator: string, resolved: unknown): boolean {
  return z.safeParse(option.shape[discriminator]!, (resolved as Mapping)[discriminator]).success
}

function memberOf({ written, resolved }: Value, key: string | number): Value {
  const member = (node: unknown) => (Object.hasOwn(Object(node), key) ? (node as Mapping)[key] : undefined)
  return { written: member(written), resolved: member(resolved) }
}

function leaf(schema: z.ZodType, { written, resolved }: Value, key: string | undefined): unknown {
  const isSecret = schema.safeParse(MISSING).data instanceof Secret
  if (isSecret) return typeof resolved === 'string' && URLS.includes(key ?? '') ? destination(resolved) : MASK
  // What a reference stands for may be a secret.
  if (resolved === undefined || (key === 'when' && hasReference(written))) return withoutFallbacks(String(written))
  const isUrl = typeof resolved === 'string' && PLAIN_URLS.includes(key ?? '')
  return isUrl ? resolved.replace(/\?.+$/s, `?${MASK}`) : resolved
}

/** `https://crm.internal/[secret]`: services such as Slack's have their keys in the path. */
function destination(url: string): string {
  const [, scheme, user, host, rest] = /^([a-z+]+:\/\/)([^/?#]*@)?([^/?#]*)(.*)$/is.exec(url) ?? []
  if (scheme === undefined) return MASK
  return `${scheme}${user === undefined ? '' : `${MASK}@`}${host}${/^\/?$/.test(rest!) ? rest : `/${MASK}`}`
}

function freeText(value: Value, isCommand: boolean): unknown {
  const { written, resolved } = value
  if (Array.isArray(written)) return written.map((_, index) => freeText(memberOf(value, index), isCommand))
  if (typeof written === 'object' && written !== null) {
    return Object.fromEntries(Object.keys(written).map((key) => [key, freeText(memberOf(value, key), isCommand)]))
  }
  if (typeof written !== 'string') return written
  // What a reference stands for may be a secret.
  if (hasReference(written)) return withoutFallbacks(written)
  const text = String(resolved)
  const isPath = isCommand && /^\.{0,2}\//.test(text)
  return isPath ? text : withoutKeys(text)
}
