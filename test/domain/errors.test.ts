import t from 'tap'
import { type ErrorCode, errorMessage, exitStatus, HTTP_STATUS, RelayError } from '../../src/domain/errors.ts'

t.test('every refusal has a status that makes the provider send again, never a 2xx or 3xx', async (t) => {
  // That none is missing is the compiler's business: the table is a Record over RefusalCode.
  t.equal(Object.keys(HTTP_STATUS).length, 18)
  for (const [code, status] of Object.entries(HTTP_STATUS)) t.ok(status >= 400 && status <= 599, `${code}: ${status}`)
})

t.test('the statuses are those of the ingest contract', async (t) => {
  t.same(HTTP_STATUS, {
    signature_missing: 401,
    signature_malformed: 401,
    signature_mismatch: 401,
    timestamp_missing: 401,
    timestamp_malformed: 401,
    timestamp_duplicated: 401,
    timestamp_stale: 401,
    payload_invalid: 400,
    loop_detected: 422,
    request_invalid: 400,
    not_found: 404,
    method_not_allowed: 405,
    body_too_large: 413,
    encoding_unsupported: 415,
    headers_too_large: 431,
    rate_limited: 429,
    outbox_unavailable: 503,
    overloaded: 503,
  })
})

t.test(
  'the process ends with 2 for usage and configuration, 3 for what is not there, 4 for want of a relay, and else 1',
  async (t) => {
    const statuses: [ErrorCode, number][] = [
      ['config_invalid', 2],
      ['usage', 2],
      ['not_found', 3],
      ['daemon_unreachable', 4],
      ['outbox_locked', 1],
      ['outbox_failed', 1],
      ['listen_failed', 1],
      ['runtime_unsupported', 1],
      ['provider_failed', 1],
      ['provider_refused', 1],
      ['signature_mismatch', 1],
    ]
    for (const [code, status] of statuses) t.equal(exitStatus(code), status, code)
  },
)

t.test('a RelayError is an Error with a code, a message and a cause', async (t) => {
  const cause = new Error('why')
  const error = new RelayError('outbox_failed', 'what', { cause })
  t.ok(error instanceof Error)
  t.match(error, { name: 'RelayError', code: 'outbox_failed', message: 'what', cause })
  t.notOk('cause' in new RelayError('usage', 'what'))
})

t.test('anything thrown has a text', async (t) => {
  t.equal(errorMessage(new Error('a')), 'a')
  t.equal(errorMessage({ code: 'T2010', message: 'from JSONata' }), 'from JSONata')
  t.equal(errorMessage({ message: 7 }), '[object Object]')
  t.equal(errorMessage('text'), 'text')
  t.equal(errorMessage(null), 'null')
  t.equal(errorMessage(undefined), 'undefined')
})
