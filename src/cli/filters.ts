import { InvalidArgumentError, Option } from 'commander'
import { systemClock } from '../domain/clock.ts'
import type { DeliveryFilter, DeliveryState, EventFilter } from '../outbox/operator.ts'
import { parseInstant } from './instant.ts'

export interface EventFilterOptions {
  readonly source?: string
  readonly event?: string
  readonly call?: string
  readonly since?: number
  readonly until?: number
}

export interface DeliveryFilterOptions extends EventFilterOptions {
  readonly target?: string
  readonly state?: DeliveryState[]
  readonly eventId?: string[]
  readonly error?: string
}

export const DELIVERY_STATES: readonly DeliveryState[] = ['pending', 'delivered', 'dead', 'cancelled']

/** `--event`, `--call` and `--source`: what an event is, whenever it came. */
export function eventKindOptions(): Option[] {
  return [
    new Option('--event <pattern>', 'events of this name; * stands for any run of characters'),
    new Option('--call <id>', 'events of this call'),
    new Option('--source <name>', 'events of this source'),
  ]
}

/** The same and `--since` and `--until`. */
export function eventFilterOptions(): Option[] {
  const instant = (text: string) => parseInstant(text, systemClock.now())
  return [
    ...eventKindOptions(),
    new Option('--since <time>', 'received at or after: an ISO time (UTC) or an age such as 2h').argParser(instant),
    new Option('--until <time>', 'received before: an ISO time (UTC) or an age such as 2h').argParser(instant),
  ]
}

/** The same and `--target`, `--state` and so on; `states` are those that the command can be about. */
export function deliveryFilterOptions(states: readonly DeliveryState[]): Option[] {
  return [
    new Option('--target <name>', 'deliveries to this target'),
    new Option('--state <state>', `deliveries in this state (${states.join(', ')}); may be repeated`).argParser(
      (text, earlier: DeliveryState[] = []) => [...earlier, ...text.split(',').map((each) => oneOf(states, each))],
    ),
    ...eventFilterOptions(),
    new Option('--event-id <id>', 'deliveries of this event; may be repeated').argParser(
      (id, earlier: string[] = []) => [...earlier, id],
    ),
    new Option('--error <text>', 'deliveries whose last error has this text in it'),
  ]
}

/** What is asked for; a key is there only where its option was given. */
export function eventFilter({ source, event, call, since, until }: EventFilterOptions): EventFilter {
  return given({ source, event, callId: call, since, until })
}

/** See `eventFilter`. */
export function deliveryFilter({ target, state, eventId, error, ...event }: DeliveryFilterOptions): DeliveryFilter {
  return { ...given({ target, states: state, eventIds: eventId, error }), ...eventFilter(event) }
}

export function isEmpty(filter: DeliveryFilter): boolean {
  return Object.keys(filter).length === 0
}

/** Parses one of several delivery ids. */
export function parseDeliveryId(text: string, earlier: readonly number[] = []): number[] {
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new InvalidArgumentError('a delivery id is a whole number')
  return [...new Set([...earlier, Number(text)])]
}

/** Parses `--limit`. */
export function parseLimit(text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new InvalidArgumentError('write a whole number from 1 to 9999999')
  return Number(text)
}

function oneOf(states: readonly DeliveryState[], text: string): DeliveryState {
  const state = states.find((each) => each === text)
  if (state === undefined) throw new InvalidArgumentError(`write ${states.join(' or ')}`)
  return state
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> }

function given<T extends object>(values: T): Given<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Given<T>
}
