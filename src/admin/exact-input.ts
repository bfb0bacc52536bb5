import type { FastifyInstance, FastifyRequest } from 'fastify'
import { RelayError } from '../domain/errors.ts'
import { isDeeperThan } from '../domain/json-bytes.ts'
import { JsonCursor } from '../domain/json-cursor.ts'

/** Levels of nesting of a body; those of the API have four at most. */
const MOST_LEVELS = 32

interface ObjectSchema {
  readonly properties?: Readonly<
    Record<string, { readonly type?: unknown; readonly items?: { readonly type?: unknown } }>
  >
}

/**
 * Rejects requests that could mean something else than what the API would do. A body is validated without coercion (no
 * `null` for `false`, no text for a number). What a route does not read is an error: a query beside a body, a body for an
 * action without one, a repeated key.
 */
export function takeInputExactly(app: FastifyInstance): void {
  // After access was granted, and before the body is read, which would be found not to be JSON.
  app.addHook('preParsing', async ({ headers, routeOptions }) => {
    const encoding = headers['content-encoding']
    if (encoding === undefined || !routeOptions.url?.startsWith('/api/') || /^[\s,]*(identity[\s,]*)*$/i.test(encoding))
      return
    throw new RelayError('encoding_unsupported', 'send the body uncompressed, without the header content-encoding')
  })
  app.addHook('preValidation', async (request) => {
    const { url: route, schema } = request.routeOptions
    // Probes and scrapers send queries of their own. The route decides: the same one is also found for a URL with an origin
    // or with escapes, such as /%61pi/.
    if (!route?.startsWith('/api/')) return
    const { querystring, params, body } = (schema ?? {}) as Record<string, ObjectSchema | undefined>
    if (querystring === undefined) rejectKeys(request.query, 'querystring')
    else request.query = readTexts(request.query, querystring)
    if (params !== undefined) request.params = readTexts(request.params, params)
    if (body === undefined) rejectBody(request)
  })
  const parse = app.getDefaultJsonParser('error', 'error')
  app.removeContentTypeParser(['application/json', 'text/plain'])
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    // The parser would skip a byte order mark.
    const text = (body as string).replace(/^\ufeff/, '')
    // To parse a megabyte of brackets takes 170 ms, in which the relay does nothing else.
    if (isDeeperThan(MOST_LEVELS, Buffer.from(text))) {
      return done(new RelayError('usage', `body: is nested more than ${MOST_LEVELS} levels deep`))
    }
    const repeated = repeatedKey(text)
    if (repeated === undefined) void parse(request, text, done)
    else done(new RelayError('usage', `body: ${JSON.stringify(repeated)} is there twice`))
  })
}

/** Converts the texts of a query or path where the schema has an integer (digits only) or a boolean (`true`, `false`). */
function readTexts(given: unknown, { properties = {} }: ObjectSchema): Record<string, unknown> {
  const entries = Object.entries(given as Record<string, unknown>)
  return Object.fromEntries(
    entries.map(([key, value]) => {
      const { type, items } = properties[key] ?? {}
      if (type !== 'array') return [key, readText(value, type)]
      // Several values: the key repeated, or with commas, as the commands take them.
      const texts = [value].flat().flatMap((item) => (typeof item === 'string' ? item.split(',') : [item]))
      return [key, texts.map((item) => readText(item, items?.type))]
    }),
  )
}

/** Any other text stays as it is, and the schema rejects it. */
function readText(value: unknown, type: unknown): unknown {
  if (typeof value !== 'string') return value
  // The schema's bounds reject a number that is too large.
  if (type === 'integer' && (/^(0|[1-9]\d*)$/.test(value) || Number(value) === Infinity)) return Number(value)
  if (type === 'boolean' && (value === 'true' || value === 'false')) return value === 'true'
  return value
}

function rejectBody({ body }: FastifyRequest): void {
  if (body === undefined || body === null) return
  if (typeof body !== 'object' || Array.isArray(body)) throw new RelayError('usage', 'body: must be object')
  rejectKeys(body, 'body')
}

function rejectKeys(given: unknown, place: string): void {
  const [key] = Object.keys(given as object)
  if (key !== undefined) throw new RelayError('usage', `${place}: ${JSON.stringify(key)} is not known`)
}

/** The first key that an object has twice: parsers differ in which value they take. */
function repeatedKey(text: string): string | undefined {
  try {
    JSON.parse(text)
  } catch {
    // The parser says what is wrong with it.
    return undefined
  }
  const cursor = new JsonCursor(Buffer.from(text))
  const keys = new Set<string>()
  for (const key of cursor.keys()) {
    if (keys.has(key)) return key
    keys.add(key)
  }
  return undefined
}
