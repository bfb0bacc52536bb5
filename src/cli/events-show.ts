import { Command } from 'commander'
import type { Config } from '../config/config.ts'
import { textOf } from '../documents/bodies.ts'
import { eventHistoryDocument } from '../documents/histories.ts'
import { systemClock } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import { wholeEventIds } from '../operations/id-prefixes.ts'
import { type UnderWay, underWayNow } from '../operations/under-way.ts'
import type { EventHistory } from '../outbox/operator.ts'
import { configOption } from './config-file.ts'
import { factLines } from './facts.ts'
import { duration, iso } from './instant.ts'
import { withOutbox } from './open-outbox.ts'
import { outboxConfig } from './outbox-config.ts'
import { writeBytes } from './output.ts'
import { payloadOption, shownPayload } from './payload.ts'
import { examples, jsonOption, print, shownTable } from './printing.ts'
import { noteColumn, outcomeCell, stateStyle } from './states.ts'
import { styled } from './style.ts'
import { cell, oneLine, whole } from './table.ts'
import { stateInWords, tellIfNothingIsSent, tellOfHolds } from './waiting.ts'

interface ShowOptions {
  readonly config?: string
  readonly json?: boolean
  readonly payload?: boolean
}

export function showCommand(): Command {
  return new Command('show')
    .description('show one event: how it came, where it went, every attempt, and its payload')
    .argument('<id>', 'its id, or a beginning that no other event has')
    .addOption(configOption())
    .addOption(jsonOption())
    .addOption(payloadOption())
    .addHelpText(
      'after',
      examples(
        'events show evt_0198c0de0000700080000000000000aa',
        'events show evt_0198c0de0000700080000000000000aa --payload | jq .call.endReason',
      ),
    )
    .action(async (id: string, { config: file, json, payload }: ShowOptions) => {
      const config = await outboxConfig(file)
      const { body, underWay, ...event } = await withOutbox(config.outbox.path, async (operator) => {
        const [eventId] = await wholeEventIds(operator, [id])
        const found = await operator.showEvent(eventId!)
        if (found === null) throw new RelayError('not_found', `there is no event ${oneLine(id)}`)
        if (payload !== true) await tellIfNothingIsSent(operator, [found])
        return { ...found, underWay: await underWayNow(operator, found.deliveries, systemClock.now()) }
      })
      if (payload === true) return printBytes(id, body)
      const payloadText = body === null ? '\nthe payload is no longer on record\n' : `\n${shownPayload(body)}`
      const now = systemClock.now()
      print(
        json,
        { ...eventHistoryDocument(event, config, now), body: textOf(body) },
        `${shown(event, config, now, underWay)}${payloadText}`,
      )
      tellOfHolds([event], config, now)
    })
}

function printBytes(id: string, body: Uint8Array | null): void {
  if (body === null) throw new RelayError('not_found', `the payload of event ${id} is no longer on record`)
  writeBytes(body)
}

function shown(event: EventHistory, config: Config, now: number, underWay: UnderWay): string {
  const { deliveries, duplicates } = event
  const facts = factLines([
    ['event', `${event.event}  ${event.eventId}`],
    ['call', event.callId],
    ['source', event.source],
    ['received', `${iso(event.receivedAt)}, ${duration(now - event.receivedAt)} ago`],
    ['origin', duplicates === 0 ? event.origin : `${event.origin}, and ${duplicates} more of the same (duplicates)`],
    ['trace', event.traceId],
    ['payload', event.bytes === null ? null : `${event.bytes} bytes, ${event.contentType ?? 'no content type'}`],
  ])
  if (deliveries.length === 0) return `${facts}\nno deliveries: no route took it\n`
  const states = deliveries.map((each) => [
    each.deliveryId,
    each.target,
    cell(stateInWords(each, config, now, underWay), stateStyle(each)),
    each.attempts,
    each.lastError,
  ])
  const all = deliveries.flatMap(({ history }) => history)
  const attempts = deliveries.flatMap(({ deliveryId, target, history }) =>
    history.map((each) => [
      deliveryId,
      target,
      each.attempt,
      iso(each.startedAt),
      each.durationMs,
      outcomeCell(each),
      each.status,
      each.error,
      ...noteColumn(all, each.note),
    ]),
  )
  const went = shownTable([whole('DELIVERY'), 'TARGET', 'STATE', 'ATTEMPTS', 'LAST ERROR'], states)
  if (attempts.length === 0) return `${facts}\n${went}\n${styled('dim', 'no attempts yet')}\n`
  const columns = [whole('DELIVERY'), 'TARGET', 'ATTEMPT', whole('STARTED'), 'MS', 'OUTCOME', 'STATUS', 'ERROR']
  const heading = [...columns, ...noteColumn(all, 'NOTE')]
  return `${facts}\n${went}\n${shownTable(heading, attempts)}`
}
