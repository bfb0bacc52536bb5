import type { FastifyInstance } from 'fastify'
import { listedTargets, targetDocument } from '../../documents/targets.ts'
import { pauseTarget } from '../../operations/pausing.ts'
import { probeDocument, probeTarget } from '../../operations/probing.ts'
import { type ApiContext, answers } from './context.ts'
import { count, flag, listOf, object, shape, text, underWay } from './shapes.ts'

const tags = ['targets']

/** See `ultravox-relay targets`. */
export function targetsApi(app: FastifyInstance, { config, operator, clock }: ApiContext): void {
  app.get(
    '/api/targets',
    {
      schema: {
        tags,
        operationId: 'listTargets',
        summary: 'List targets with what waits for them; orphaned ones are not configured',
        response: answers(object({ targets: listOf(shape('Target')) })),
      },
    },
    async () => {
      const targets = listedTargets(config, await operator.listTargets(clock.now()))
      return { targets: targets.map(targetDocument) }
    },
  )

  app.post<{ Params: { target: string } }>(
    '/api/targets/:target/probe',
    {
      schema: {
        tags,
        operationId: 'probeTarget',
        summary: 'Make one attempt now, whatever the cooldown, backoff or throttle, and wait for its end',
        params: object({ target: text }),
        response: answers(shape('Probe'), 404),
      },
    },
    async ({ params: { target } }) => probeDocument(await probeTarget(operator, config, target, () => clock.now())),
  )

  for (const name of ['pause', 'resume'] as const) {
    const result = object({
      target: text,
      pausedByCommand: flag,
      pausedByConfig: flag,
      isChanged: flag,
      pending: count,
      ...(name === 'pause' && { underWay }),
    })
    app.post<{ Params: { target: string } }>(
      `/api/targets/:target/${name}`,
      {
        schema: {
          tags,
          operationId: `${name}Target`,
          summary: name === 'pause' ? 'Send nothing more to a target' : 'Send to a paused target again',
          params: object({ target: text }),
          response: answers(result, 404),
        },
      },
      async ({ params: { target } }) => pauseTarget(operator, config, target, name === 'pause', clock.now()),
    )
  }
}
