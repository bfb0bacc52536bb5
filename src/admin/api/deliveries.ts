import type { FastifyInstance } from 'fastify'
import { deliveryDocument, deliveryHistoryDocument } from '../../documents/histories.ts'
import { RelayError } from '../../domain/errors.ts'
import { countEach } from '../../operations/counts.ts'
import { type AskedDeliveries, DELIVERY_STATES, deliveryFilter } from '../../operations/filters.ts'
import { forecastDocument, QueuesBefore } from '../../operations/forecasts.ts'
import { withWholeIds } from '../../operations/id-prefixes.ts'
import { assertKnownNames, configuredTarget } from '../../operations/known-target.ts'
import { refuseMissing } from '../../operations/missing.ts'
import { readPage } from '../../operations/pages.ts'
import { NOT_RECALLED, NOTHING_SENT } from '../../operations/recall.ts'
import { CANCEL, meantDeliveries, moveTo, RETRY, type Redelivery, redeliver } from '../../operations/redelivery.ts'
import type { DeliveryFilter } from '../../outbox/operator.ts'
import { type Action, type AskedAs, actionBody, asked, deliveryKeys, listQuery, named } from './asked.ts'
import {
  type AdminOperator,
  type ApiContext,
  answers,
  expected,
  MOST_CHANGED,
  page,
  refuseTooMany,
  warnings,
} from './context.ts'
import { count, deliveredMeanwhile, deliveryStates, flag, id, object, shape, underWay, word } from './shapes.ts'

const tags = ['deliveries']

/** See `ultravox-relay deliveries`. */
export function deliveriesApi(app: FastifyInstance, context: ApiContext): void {
  const { config, operator, clock } = context
  const query = listQuery(deliveryKeys(deliveryStates(DELIVERY_STATES)))

  app.get<{ Querystring: AskedAs<AskedDeliveries> & { limit: number } }>(
    '/api/deliveries',
    {
      schema: {
        tags,
        operationId: 'listDeliveries',
        summary: 'List deliveries, the newest first',
        querystring: query,
        response: answers(page('deliveries', shape('Delivery')), 400, 404),
      },
    },
    async ({ query: { limit, ...rest } }) => {
      await assertKnownNames(operator, config, rest)
      const filter = deliveryFilter(await withWholeIds(operator, asked<AskedDeliveries>(rest, clock.now())))
      const { rows, more } = await readPage(limit, (most) => operator.listDeliveries(filter, most))
      return { deliveries: rows.map(deliveryDocument), more }
    },
  )

  app.get<{ Params: { id: number } }>(
    '/api/deliveries/:id',
    {
      schema: {
        tags,
        operationId: 'getDelivery',
        summary: 'One delivery: what it waits for, and all of its attempts',
        params: object({ id }),
        response: answers(shape('DeliveryHistory'), 400, 404),
      },
    },
    async ({ params: { id } }) => {
      const delivery = await operator.showDelivery(id)
      if (delivery === null) throw new RelayError('not_found', `there is no delivery ${id}`)
      return deliveryHistoryDocument(delivery, config, clock.now())
    },
  )

  actionRoute(app, context, 'retry', RETRY, () => RETRY, 'Retry deliveries: dead ones by default')
  actionRoute(
    app,
    context,
    'cancel',
    CANCEL,
    () => CANCEL,
    'Give deliveries up; pending and dead ones unless said otherwise',
  )
  const moveToTarget = (to: string) => moveTo({ target: to, ordered: configuredTarget(config, to).ordered })
  const summary = 'Move pending and dead deliveries to another target; what it has had already stays'
  actionRoute(app, context, 'move', moveTo({ target: '', ordered: false }), moveToTarget, summary)
}

function actionRoute(
  app: FastifyInstance,
  { config, operator, clock }: ApiContext,
  name: string,
  kind: Pick<Redelivery, 'done' | 'possible' | 'sends' | 'recalls' | 'to'>,
  actionOf: (to: string) => Redelivery,
  summary: string,
): void {
  const result = object({
    matched: count,
    targets: { type: 'object', additionalProperties: count },
    dryRun: flag,
    [kind.done]: count,
    ...(kind.sends && { expected }),
    ...(kind.recalls && { underWay, deliveredMeanwhile }),
    warnings,
  })
  const keys = {
    ...deliveryKeys(deliveryStates(kind.possible)),
    ...(kind.to !== undefined && { to: { ...word, description: 'The target that they are moved to.' } }),
  }
  app.post<{ Body: AskedAs<AskedDeliveries> & Action<number> & { to?: string } }>(
    `/api/deliveries/${name}`,
    {
      schema: {
        tags,
        operationId: `${name}Deliveries`,
        summary,
        body: actionBody(id, keys, kind.to === undefined ? [] : ['to']),
        response: answers(result, 400, 404),
      },
    },
    async ({ body: { ids = [], dryRun, to = '', ...rest } }) => {
      const action = actionOf(to)
      const whole = await withWholeIds(operator, asked<AskedDeliveries>(rest, clock.now()))
      const filter = named(meantDeliveries(ids, deliveryFilter(whole), action))
      await assertKnownNames(operator, config, rest)
      await refuseUnknown(operator, ids)
      const { found, bodiless } = await choose(operator, filter, action)
      const targets = countEach(found.map(({ target }) => target))
      const queues = action.sends ? await QueuesBefore.read(operator, config, clock.now()) : null
      const { changed, recalled } = dryRun
        ? { changed: 0, recalled: NOTHING_SENT }
        : await redeliver(operator, filter, found, action, clock)
      const added = action.to === undefined ? targets : new Map([[action.to, dryRun ? found.length : changed]])
      const forecasts = await (dryRun
        ? action.to === undefined
          ? queues?.aheadOfRetry(targets, filter, clock.now())
          : queues?.aheadOfMove(added, clock.now())
        : queues?.after(added, clock.now()))
      return {
        matched: found.length,
        targets: Object.fromEntries(targets),
        dryRun,
        [action.done]: changed,
        ...(forecasts && { expected: forecasts.map(forecastDocument) }),
        ...(action.recalls && recalled),
        warnings: [
          ...(bodiless === 0 ? [] : [`${bodiless} of them cannot be sent again and were left out: the body is gone`]),
          ...(recalled.underWay === null ? [NOT_RECALLED] : []),
        ],
      }
    },
  )
}

/** Those that it can be done to, and how many others there would be if their events still had bodies. */
async function choose(operator: AdminOperator, filter: DeliveryFilter, { sends }: Redelivery) {
  const list = (more: DeliveryFilter) => operator.listDeliveries({ ...filter, ...more }, MOST_CHANGED + 1)
  const found = await list(sends ? { hasBody: true } : {})
  const bodiless = sends ? (await list({ hasBody: false })).length : 0
  refuseTooMany(found.length, 'deliveries')
  if (bodiless > 0 && filter.deliveryIds !== undefined) {
    throw new RelayError('not_found', `${bodiless} of them cannot be sent again: the body is gone`)
  }
  return { found: found.toReversed(), bodiless }
}

async function refuseUnknown(operator: AdminOperator, deliveryIds: readonly number[]): Promise<void> {
  if (deliveryIds.length === 0) return
  const there = await operator.listDeliveries({ deliveryIds }, deliveryIds.length)
  refuseMissing(
    'delivery',
    deliveryIds,
    there.map(({ deliveryId }) => deliveryId),
  )
}
