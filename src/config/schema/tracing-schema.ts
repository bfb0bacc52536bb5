import * as z from 'zod'
import { requiredAs } from '../plain-words.ts'
import { headerNameProblem, headerValueProblem, urlProblem } from './http-rules.ts'
import { decimal, secret, text } from './scalars.ts'

function collectorProblem(written: string): string | undefined {
  const problem = urlProblem(written)
  if (problem !== undefined) return problem
  return new URL(written).search === '' ? undefined : 'must not have a query: put what is secret into headers'
}

export const tracingSchema = z.strictObject(
  {
    otlp: text({ example: 'otlp: http://127.0.0.1:4318', problemWith: collectorProblem }).meta({
      description:
        'The OTLP/HTTP collector, as in http://127.0.0.1:4318. Spans go to /v1/traces under it, as JSON. Needs the ' +
        'optional packages of OpenTelemetry, which npm installs unless told not to.',
    }),
    headers: z
      .record(text({ problemWith: headerNameProblem }), secret({ problemWith: headerValueProblem }))
      .prefault({})
      .meta({ description: 'Headers for each request to the collector, such as Authorization.' }),
    serviceName: text()
      .prefault('ultravox-relay')
      .meta({ description: 'The name the relay has there (service.name).' }),
    sampleRatio: decimal(0, 1)
      .prefault(1)
      .meta({
        description:
          'The share of traces to export, of those that begin at the relay. In others the sender has decided: its sampled ' +
          'flag is followed.',
      }),
  },
  { error: requiredAs('tracing: { otlp: http://127.0.0.1:4318 }') },
)
