import { join } from 'node:path'
import t, { type Test } from 'tap'
import { forecastText as textOf } from '../../src/cli/forecasts.ts'
import type { Config } from '../../src/config/config.ts'
import type { Settlement } from '../../src/domain/delivery.ts'
import { type Forecast, forecastDocument, QueuesBefore } from '../../src/operations/forecasts.ts'
import { SqliteOperator } from '../../src/outbox/sqlite/sqlite-operator.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { attemptAt, newEvent } from '../outbox/samples.ts'
import { scratch } from '../scratch.ts'

const NOW = 10_000_000
const plain = { paused: false, rateLimit: null }
const config = {
  targets: {
    crm: { paused: false, rateLimit: { max: 20, perMs: 1_000 } },
    five: { paused: false, rateLimit: { max: 10, perMs: 5_000 } },
    free: plain,
    off: { ...plain, paused: true },
  },
} as unknown as Config

const forecastText = (forecasts: readonly Forecast[]) => textOf(forecasts, NOW)

async function opened(t: Test) {
  const path = join(scratch(t), 'relay.db')
  const outbox = await SqliteOutbox.open(path, (error) => t.fail(error.message))
  const operator = SqliteOperator.open(path)
  t.teardown(() => Promise.all([outbox.close(), operator.close()]))
  async function record(target: string, count: number, receivedAt = NOW): Promise<void> {
    const delivery = { target, ordered: target === 'crm' }
    await Promise.all(Array.from({ length: count }, () => outbox.record(newEvent({ receivedAt }), [delivery])))
  }
  async function settle(target: string, count: number, settlement: Settlement, at = NOW): Promise<void> {
    const { deliveries } = await outbox.claim(target, count, at)
    const outcome = settlement.state === 'delivered' ? 'delivered' : 'refused'
    await Promise.all(deliveries.map((each) => outbox.settle(each, attemptAt(each, outcome, at), settlement)))
  }
  /** What a retry of the dead deliveries of a target says. */
  async function retry(target: string, dryRun: boolean) {
    const queues = await QueuesBefore.read(operator, config, NOW)
    const filter = { target, states: ['dead' as const] }
    const added = new Map([[target, (await operator.findDeliveries(filter)).length]])
    if (dryRun) return queues.aheadOfRetry(added, filter, NOW)
    await operator.retryDeliveries(filter, NOW)
    return queues.after(added, NOW)
  }
  return { outbox, operator, record, settle, retry }
}

t.test('what is queued at a rate limit takes as long as the limit says, in a dry run and afterwards', async (t) => {
  const { record, settle, retry } = await opened(t)
  await record('crm', 700)
  await settle('crm', 700, { state: 'dead' })
  await record('crm', 100)
  const line = '800 deliveries queued for crm (100 before these) at most 20/s: about 40s\n'
  const [dryRun] = await retry('crm', true)
  t.equal(forecastText([dryRun!]), line)
  const [done] = await retry('crm', false)
  t.equal(forecastText([done!]), line)
  t.strictSame(forecastDocument(done!), {
    target: 'crm',
    added: 700,
    queued: 800,
    held: 0,
    waitsFor: null,
    rate: { from: 'rateLimit', max: 20, perMs: 1_000 },
    durationMs: 40_000,
  })
})

t.test(
  'a period of another length is written out, and what a limit lets through at once is not forecast',
  async (t) => {
    const { record, settle, retry } = await opened(t)
    await record('five', 40)
    await settle('five', 40, { state: 'dead' })
    t.equal(forecastText(await retry('five', true)), '40 deliveries queued for five at most 10 per 5s: about 20s\n')
    await settle('five', 40, { state: 'delivered' })
    await record('five', 10)
    await settle('five', 10, { state: 'dead' })
    t.equal(forecastText((await retry('five', true)).map((each) => ({ ...each, queued: 10 }))), '')
  },
)

t.test('without a limit nothing is said, unless a backlog has shown how fast the target is', async (t) => {
  const { record, settle, retry } = await opened(t)
  await record('free', 30, NOW - 600_000)
  await settle('free', 10, { state: 'dead' })
  await settle('free', 10, { state: 'delivered' }, NOW - 60_000)
  t.equal(
    forecastText(await retry('free', true)),
    '20 deliveries queued for free (10 before these) at 2/min as in the last 5 minutes: about 10m\n',
  )
  await settle('free', 10, { state: 'delivered' }, NOW - 60_000)
  t.equal(forecastText(await retry('free', true)), '', 'an idle target shows how much comes, not how fast it is')
})

t.test('of what is pending, a retry adds what is in backoff, and a replay adds nothing', async (t) => {
  const { operator, record, settle } = await opened(t)
  await record('crm', 60)
  await settle('crm', 40, { state: 'pending', dueAt: NOW + 60_000 })
  const queues = await QueuesBefore.read(operator, config, NOW)
  const planned = new Map([['crm', 60]])
  t.match(await queues.aheadOfRetry(planned, { target: 'crm', states: ['pending'] }, NOW), [{ added: 40, queued: 60 }])
  t.same(await queues.aheadOfReplay(planned, { since: 0 }, NOW), [])
  t.match(await queues.aheadOfNew(planned, NOW), [{ added: 60, queued: 80, durationMs: 4_000 }])
})

t.test('where nothing is sent, the reason is given instead of a time', async (t) => {
  const { outbox, operator, record, settle, retry } = await opened(t)
  for (const target of ['crm', 'off', 'gone']) {
    await record(target, 2)
    await settle(target, 2, { state: 'dead' })
  }
  const said = async (target: string) => forecastText(await retry(target, true)).split(': ')[1]
  t.equal(await said('off'), 'the configuration pauses it\n')
  t.equal(await said('gone'), 'it is not configured\n')
  await outbox.saveBreaker('crm', { probeAt: NOW + 60_000, cooldownMs: 1 }, NOW)
  t.equal(await said('crm'), 'circuit open, probe in 1m\n')
  await operator.setPaused('crm', true, NOW)
  t.equal(await said('crm'), 'it is paused; targets resume crm\n')
  t.match((await retry('crm', true)).map(forecastDocument), [{ waitsFor: { reason: 'paused', by: 'command' } }])
})

t.test('deliveries that are added to held calls are said to be held', async (t) => {
  const { outbox, operator } = await opened(t)
  const ordered = [{ target: 'crm', ordered: true }]
  await outbox.record(newEvent({ callId: 'call-1', event: 'call.started' }), ordered)
  const [started] = (await outbox.claim('crm', 1, NOW)).deliveries
  await outbox.settle(started!, attemptAt(started!, 'refused'), { state: 'dead', hold: true })
  await outbox.record(newEvent({ callId: 'call-1', event: 'call.ended', eventId: 'evt_ended' }), [])
  const queues = await QueuesBefore.read(operator, config, NOW)
  const [event] = await operator.readEvents({ eventIds: ['evt_ended'] }, 0, 1)
  await operator.replay([{ eventSeq: event!.eventSeq, deliveries: ordered }], NOW)
  const forecasts = await queues.after(new Map([['crm', 1]]), NOW)
  t.match(forecasts, [{ added: 1, queued: 0, held: 1 }])
  t.equal(forecastText(forecasts), '1 delivery for crm held behind dead ones; deliveries list --holding\n')
})
