import type { FastifyInstance } from 'fastify'
import type { Stopwatch } from '../domain/clock.ts'
import { text } from './api/shapes.ts'
import type { Readings } from './gauges.ts'
import { lately } from './lately.ts'
import type { Metrics } from './metrics.ts'
import { obstacles, type ReadinessOptions } from './readiness.ts'

/** Probes have no token, and are told nothing of calls. */
export const OPEN_PATHS: readonly string[] = ['/healthz', '/readyz']
/** How long an answer that costs something may be given again. */
const LATELY_MS = 1_000

export interface HealthOptions {
  readonly readiness: ReadinessOptions
  readonly metrics: Metrics
  readonly read: () => Promise<Readings>
  readonly stopwatch: Stopwatch
}

/** For those that look all the time: probes and Prometheus. */
export function health(app: FastifyInstance, { readiness, metrics, read, stopwatch }: HealthOptions): void {
  const hindered = lately(() => obstacles(readiness), LATELY_MS, stopwatch)
  const readings = lately(read, LATELY_MS, stopwatch)
  const probe = { tags: ['health'], security: [] }

  app.get(
    '/healthz',
    { schema: { ...probe, operationId: 'getHealth', summary: 'Whether the relay is alive' } },
    async () => ({ status: 'ok' }),
  )

  app.get(
    '/readyz',
    {
      schema: {
        ...probe,
        operationId: 'getReadiness',
        summary: 'Whether it can take webhooks: 200, or 503 with what stands in the way',
      },
    },
    async (_request, reply) => {
      const problems = await hindered()
      return reply.code(problems.length === 0 ? 200 : 503).send({ ready: problems.length === 0, problems })
    },
  )

  app.get(
    '/metrics',
    {
      schema: {
        tags: probe.tags,
        operationId: 'getMetrics',
        summary: 'Metrics for Prometheus',
        produces: ['text/plain'],
        response: { 200: text },
      },
    },
    async (_request, reply) => reply.type(metrics.contentType).send(await metrics.expose(await readings())),
  )
}
