import { v7 as uuid } from 'uuid'

/** A new event's id. One that is made later sorts later. */
export function newEventId(): string {
  return `evt_${uuid().replaceAll('-', '')}`
}
