import t from 'tap'
import { parseExposition } from '../admin/exposition.ts'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { adminAddress, adminClient } from './admin-client.ts'
import { service, sources } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { runCommand } from './run-command.ts'
import { bodyOf, send } from './ultravox-sender.ts'

t.test('what comes in, is refused, goes out and waits is measured, under no name that anybody sent', async (t) => {
  const directory = scratch(t)
  const [up, down] = [await service(t, true), await service(t, false)]
  const targets = { up: up.target, down: down.target }
  const config = { sources, targets, routes: [{ events: ['*'], to: ['up', 'down'] }], admin: { listen: '127.0.0.1:0' } }
  const file = writeConfig(directory, config)
  const relay = await startRelay(t, file)
  const { get } = adminClient(adminAddress(relay))
  const metrics = async () => parseExposition((await get('/metrics')).text)
  const url = `${relay.origin}/webhooks/ultravox`

  const atFirst = await metrics()
  const series: [string, Record<string, string>][] = [
    ...['ultravox', ''].flatMap((source) =>
      ['signature_mismatch', 'timestamp_stale', 'outbox_unavailable', 'overloaded', 'not_found'].map(
        (reason): [string, Record<string, string>] => ['requests_refused_total', { source, reason }],
      ),
    ),
    ['events_recorded_total', { source: 'ultravox', origin: 'webhook' }],
    ['events_recorded_total', { source: 'relay', origin: 'relay' }],
    ['events_duplicate_total', { source: 'ultravox' }],
    ...['delivered', 'failed', 'refused'].map((outcome): [string, Record<string, string>] => [
      'attempts_total',
      { target: 'up', outcome },
    ]),
    ['tls_handshakes_failed_total', { reason: 'unknown_ca' }],
    ['log_lines_dropped_total', {}],
  ]
  for (const [name, labels] of series) {
    t.equal(atFirst.value(`ultravox_relay_${name}`, labels), 0, `${name} ${JSON.stringify(labels)} from the start`)
  }

  const body = bodyOf('call.ended')
  for (const each of [body, body, bodyOf('hostile_name{}"\n')]) t.equal((await send(url, each)).status, 204)
  await send(url, body, { secret: 'another' })
  await send(`${relay.origin}/hostile_path`, body)
  await eventually(
    async () => (await metrics()).value('ultravox_relay_deliveries_dead', { target: 'down' }) === 2,
    'all is over, and was read since',
  )

  const { value, samples, families } = await metrics()
  const expected: [string, Record<string, string>, number][] = [
    ['events_recorded_total', { source: 'ultravox', origin: 'webhook' }, 2],
    ['events_duplicate_total', { source: 'ultravox' }, 1],
    ['requests_refused_total', { source: 'ultravox', reason: 'signature_mismatch' }, 1],
    ['requests_refused_total', { source: '', reason: 'not_found' }, 1],
    ['attempts_total', { target: 'up', outcome: 'delivered' }, 2],
    ['attempts_total', { target: 'down', outcome: 'refused' }, 2],
    ['delivery_latency_seconds_count', { target: 'up' }, 2],
    ['deliveries_pending', { target: 'up' }, 0],
    ['deliveries_due', { target: 'down' }, 0],
    ['deliveries_retrying', { target: 'down' }, 0],
    ['oldest_due_age_seconds', { target: 'down' }, 0],
    ['target_breaker_open', { target: 'down' }, 0],
    ['target_paused', { target: 'down' }, 0],
    ['deliveries_orphaned', {}, 0],
    ['outbox_up', {}, 1],
    ['disk_reserve_bytes', {}, 256 * 1024 ** 2],
  ]
  for (const [name, labels, count] of expected) {
    t.equal(value(`ultravox_relay_${name}`, labels), count, `${name} ${JSON.stringify(labels)}`)
  }
  for (const name of [
    'outbox_commit_duration_seconds_count',
    'outbox_commit_calls_sum',
    'outbox_bytes',
    'disk_free_bytes',
  ]) {
    t.ok(value(`ultravox_relay_${name}`)! > 0, name)
  }
  for (const name of [
    'nodejs_eventloop_lag_p99_seconds',
    'process_cpu_seconds_total',
    'process_resident_memory_bytes',
  ]) {
    t.ok(families.has(name), name)
  }
  t.notMatch(JSON.stringify(samples), 'hostile')

  const more = { sources: { ...sources, second: sources.ultravox }, targets: { ...targets, third: up.target } }
  writeConfig(directory, { ...config, ...more, routes: [{ events: ['*'], to: ['up', 'down', 'third'] }] })
  t.equal((await runCommand(['reload'], directory)).code, 0)
  const third = { target: 'third', outcome: 'failed' }
  await eventually(
    async () => (await metrics()).value('ultravox_relay_attempts_total', third) === 0,
    'what a reload adds is there at zero',
  )
  const after = await metrics()
  const mismatch = (source: string) => ({ source, reason: 'signature_mismatch' })
  t.equal(after.value('ultravox_relay_requests_refused_total', mismatch('second')), 0)
  t.equal(after.value('ultravox_relay_requests_refused_total', mismatch('ultravox')), 1, 'and nothing is forgotten')

  // A reload of the same file, and of one in which a target is changed and another added.
  const changed = { ...targets, down: { ...down.target, timeout: '9s' }, more: up.target }
  for (const next of [
    config,
    { ...config, targets: changed, routes: [{ events: ['*'], to: ['up', 'down', 'more'] }] },
  ]) {
    writeConfig(directory, next)
    t.match(await runCommand(['reload', '--config', file], directory), { code: 0 })
    const later = await metrics()
    for (const { name, labels, value: counted } of samples) {
      if (!/_(total|count|sum|bucket)$/.test(name) || counted === 0 || name.startsWith('nodejs')) continue
      const now = later.value(name, labels)
      t.ok(now !== undefined && now >= counted, `${name} ${JSON.stringify(labels)} goes on after a reload`)
    }
  }
})
