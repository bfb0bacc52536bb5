import { InvalidArgumentError, Option } from 'commander'
import { systemClock } from '../domain/clock.ts'
import { EVENT_STATES } from '../operations/filters.ts'
import type { DeliveryState } from '../outbox/operator.ts'
import { parseEnd, parseInstant } from './instant.ts'

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
  const now = () => systemClock.now()
  return [
    new Option('--since <time>', 'received at or after: an age (2h, 1h30m), a time (09:45) or an ISO time').argParser(
      (text: string) => parseInstant(text, now()),
    ),
    new Option('--until <time>', 'received before: as --since; a date means its end').argParser((text: string) =>
      parseEnd(text, now()),
    ),
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
    new Option('--event-id <id>', 'deliveries of this event; several with commas').argParser(
      (ids, earlier: string[] = []) => [...earlier, ...ids.split(',')],
    ),
    new Option('--error <text>', 'deliveries whose last error has this text in it'),
    new Option('--holding', 'dead deliveries that hold the rest of their call (onDead: hold)'),
  ]
}

/** `--after` of deliveries: where an interrupted command goes on. */
export function afterDeliveryOption(): Option {
  return new Option('--after <id>', 'deliveries with a higher id').argParser((text) => parseDeliveryId(text)[0])
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
  const option = new Option('--state <state>', `${about}; several with commas`).argParser((text, earlier: T[] = []) => [
    ...earlier,
    ...text.split(',').map((each) => oneOf(states, each)),
  ])
  return offering(option, states)
}

/** An option whose values help and completion show. Unlike with `choices`, its own parser stays. */
export function offering(option: Option, values: readonly string[]): Option {
  option.argChoices = [...values]
  return option
}

function oneOf<T extends string>(states: readonly T[], text: string): T {
  const state = states.find((each) => each === text)
  if (state === undefined) throw new InvalidArgumentError(`write ${states.join(' or ')}`)
  return state
}
