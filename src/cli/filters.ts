import { InvalidArgumentError, Option } from 'commander'
import { systemClock } from '../domain/clock.ts'
import type { DeliveryFilter, DeliveryState, EventFilter } from '../outbox/operator.ts'
import { parseInstant } from './instant.ts'

type EventState = NonNullable<EventFilter['deliveryStates']>[number]

export interface EventFilterOptions {
  readonly source?: string
  readonly event?: string
  readonly call?: string
  readonly since?: number
  readonly until?: number
}

export interface EventListOptions extends EventFilterOptions {
  readonly state?: EventState[]
}

export interface DeliveryFilterOptions extends EventFilterOptions {
  readonly target?: string
  readonly state?: DeliveryState[]
  readonly eventId?: string[]
  readonly error?: string
}

export const DELIVERY_STATES: readonly DeliveryState[] = ['pending', 'delivered', 'dead', 'cancelled']

const EVENT_STATES: readonly EventState[] = [...DELIVERY_STATES, 'none']

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
  return [...eventKindOptions(), ...receivedOptions()]
}

/** `--since` and `--until`. */
export function receivedOptions(): Option[] {
  const instant = (text: string) => parseInstant(text, systemClock.now())
  return [
    new Option('--since <time>', 'received at or after: an ISO time (UTC) or an age such as 2h').argParser(instant),
    new Option('--until <time>', 'received before: an ISO time (UTC) or an age such as 2h').argParser(instant),
  ]
}

/** `--state` of events. */
export function eventStateOption(): Option {
  return stateOption('events with a delivery in this state, or none: without any delivery', EVENT_STATES)
}

/** The same and `--target`, `--state` and so on; `states` are those that the command can be about. */
export function deliveryFilterOptions(states: readonly DeliveryState[]): Option[] {
  return [
    new Option('--target <name>', 'deliveries to this target'),
    stateOption('deliveries in this state', states),
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
export function eventListFilter({ state, ...event }: EventListOptions): EventFilter {
  return { ...given({ deliveryStates: state }), ...eventFilter(event) }
}

/** See `eventFilter`. */
export function deliveryFilter({ target, state, eventId, error, ...event }: DeliveryFilterOptions): DeliveryFilter {
  return { ...given({ target, states: state, eventIds: eventId, error }), ...eventFilter(event) }
}

export function isEmpty(filter: object): boolean {
  return Object.keys(filter).length === 0
}

/** Parses one of several ids of deliveries or rejections. */
export function idParser(what: 'delivery' | 'rejection'): (text: string, earlier?: readonly number[]) => number[] {
  return (text, earlier = []) => {
    if (!/^[1-9]\d{0,14}$/.test(text)) throw new InvalidArgumentError(`a ${what} id is a whole number`)
    return [...new Set([...earlier, Number(text)])]
  }
}

export const parseDeliveryId = idParser('delivery')

function stateOption<T extends string>(about: string, states: readonly T[]): Option {
  return new Option('--state <state>', `${about} (${states.join(', ')}); may be repeated`).argParser(
    (text, earlier: T[] = []) => [...earlier, ...text.split(',').map((each) => oneOf(states, each))],
  )
}

function oneOf<T extends string>(states: readonly T[], text: string): T {
  const state = states.find((each) => each === text)
  if (state === undefined) throw new InvalidArgumentError(`write ${states.join(' or ')}`)
  return state
}

/** Those of the values that are there. */
type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> }

export function given<T extends object>(values: T): Given<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Given<T>
}
