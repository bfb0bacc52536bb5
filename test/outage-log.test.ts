import { pino } from 'pino'
import t from 'tap'
import type { Delivery } from '../src/domain/delivery.ts'
import { RelayError } from '../src/domain/errors.ts'
import { laneLog } from '../src/logging.ts'
import { eventually } from './eventually.ts'

t.test('an outage of the outbox is logged when it begins, in summaries, and when it is over', async (t) => {
  const lines: Record<string, unknown>[] = []
  const log = laneLog(pino({ base: null, timestamp: false }, { write: (line) => lines.push(JSON.parse(line)) }), 100)
  const error = new RelayError('outbox_unavailable', 'outbox: SQLITE_FULL')
  const delivery = (deliveryId: number) => ({ deliveryId, event: { eventId: `event-${deliveryId}` } }) as Delivery
  for (let round = 0; round < 10; round++) {
    for (const id of [1, 2, 3]) log.outboxUnavailable('crm', error, delivery(id))
    log.outboxUnavailable('slack', error)
  }
  await eventually(() => lines.length === 3, 'it is over')
  t.same(lines, [
    {
      level: 40,
      target: 'crm',
      eventId: 'event-1',
      deliveryId: 1,
      error: 'outbox: SQLITE_FULL',
      msg: 'outbox unavailable to delivery',
    },
    {
      level: 40,
      failures: 39,
      targets: ['crm', 'slack'],
      unrecorded: 3,
      error: 'outbox: SQLITE_FULL',
      msg: 'outbox still unavailable to delivery',
    },
    { level: 30, msg: 'outbox available to delivery again' },
  ])
})
