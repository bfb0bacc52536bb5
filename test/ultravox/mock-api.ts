import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { type Context, type Document, OpenAPIBackend } from 'openapi-backend'
import type { Test as TapTest } from 'tap'
import { parse } from 'yaml'
import { httpServer, type Received } from '../local-server.ts'
import { API_KEY } from './fake-api.ts'
import { type Schema, valuesOf } from './schema-arbitrary.ts'

/** The tests run from `build`, where only what was compiled is. */
const FILE = fileURLToPath(new URL('../../../test/ultravox/openapi.yaml', import.meta.url))

/** OpenAPI names them; what they look like is for the validator's user to say. */
const FORMATS: Record<string, RegExp> = {
  uuid: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i,
  'date-time': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/,
  uri: /^[a-z][a-z0-9+.-]*:\S+$/i,
}

/**
 * The API description, as openapi-backend reads it: it knows nothing of our client. Validators are compiled as they are
 * needed, and whether the description is one is checked with `check` alone: both take half a second.
 */
export async function readDescription({ check = false } = {}): Promise<OpenAPIBackend> {
  const api = new OpenAPIBackend({
    definition: parse(readFileSync(FILE, 'utf8')) as Document,
    strict: check,
    quick: !check,
    customizeAjv(ajv) {
      for (const [name, format] of Object.entries(FORMATS)) ajv.addFormat(name, format)
      return ajv
    },
    securityHandlers: { apiKeyAuth: ({ request }: Context) => request.headers['x-api-key'] === API_KEY },
  })
  return api.init()
}

export interface MockApi {
  readonly baseUrl: string
  /** Why requests were not taken. */
  readonly rejected: readonly string[]
  readonly operations: readonly string[]
  /** The names of the operations that were asked for and taken. */
  readonly taken: ReadonlySet<string>
  /** Which of all possible answers are given next. */
  seed: number
}

/**
 * A provider without state: it takes only what the API description allows, and answers with anything that it allows.
 * Lists have two pages.
 */
export async function createMockApi(t: Pick<TapTest, 'teardown'>): Promise<MockApi> {
  const api = await readDescription()
  const rejected: string[] = []
  const taken = new Set<string>()
  const operations = api.getOperations().map(({ operationId }) => operationId!)
  const mock = { baseUrl: '', rejected, operations, taken, seed: 0 }
  const reject = (status: number) => (context: Context, response: ServerResponse, request: Received) => {
    rejected.push(`${request.method} ${request.url}: ${JSON.stringify(context.validation?.errors ?? status)}`)
    response.writeHead(status).end()
  }

  api.register({
    notFound: reject(404),
    methodNotAllowed: reject(405),
    unauthorizedHandler: reject(401),
    validationFail: reject(422),
    notImplemented({ operation }: Context, response: ServerResponse, request: Received) {
      taken.add(operation.operationId!)
      const statuses = Object.keys(operation.responses!)
      const status = Number(statuses[mock.seed % statuses.length])
      response.writeHead(status, { 'content-type': 'application/json', location: 'https://storage.test/a.wav' })
      response.end(status === 200 || status === 201 ? answerOf(operation, status, request, mock) : undefined)
    },
  })
  const { origin } = await httpServer(t, (response, request) => {
    const { method, url: path, headers, body } = request
    void api.handleRequest(
      { method, path, headers: headers as Record<string, string>, body: body.toString() },
      response,
      request,
    )
  })
  mock.baseUrl = origin
  return mock
}

function answerOf(
  operation: Context['operation'],
  status: number,
  request: Received,
  { baseUrl, seed }: MockApi,
): string {
  const { content } = operation.responses![status] as { content: Record<string, { schema: Schema }> }
  const schema = content['application/json']?.schema
  // A recording.
  if (schema === undefined) return 'RIFF'
  const [value] = fc.sample(valuesOf(schema), { seed, numRuns: 1 })
  if (schema.properties?.next === undefined) return JSON.stringify(value)
  const url = new URL(request.url, baseUrl)
  const second = url.searchParams.has('cursor')
  url.searchParams.set('cursor', 'c2Vjb25k')
  return JSON.stringify({ ...(value as object), next: second ? null : url.href })
}
