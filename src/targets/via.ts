import { viaFrom } from '../domain/via.ts'
import type { Target } from './target.ts'

/** A target that gets the event with the relay's own id added to those of earlier relays. */
export function withVia(target: Target, relayId: string): Target {
  return {
    name: target.name,
    close: () => target.close(),
    send: (delivery, signal, onSent) => {
      const event = { ...delivery.event, via: viaFrom(relayId, delivery.event.via) }
      return target.send({ ...delivery, event }, signal, onSent)
    },
  }
}
