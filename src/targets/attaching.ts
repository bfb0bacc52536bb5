import type { Attached, Attachments, WantedAttachments } from '../domain/attachments.ts'
import { concealer } from '../domain/concealer.ts'
import type { Delivery } from '../domain/delivery.ts'
import { asUtf8 } from '../domain/json-bytes.ts'
import { withAttached } from './attached-payload.ts'
import { concealed } from './concealing.ts'
import type { Target } from './target.ts'

/**
 * A target that gets what it wants of an event's call along with the event: fetched before each attempt, whose outcome
 * it is if that fails. An event of no call goes out as it is. Nothing is sent of a delivery that was cancelled meanwhile.
 */
export function attaching(target: Target, wanted: WantedAttachments, attachments: Attachments): Target {
  return {
    name: target.name,
    async send(delivery, signal) {
      if (delivery.event.callId === null) return target.send(delivery, signal)
      const attached = await attachments.fetch(delivery.event, wanted, signal, delivery.firstAttemptAt)
      if (attached.kind !== 'attached') return attached
      try {
        if (!(await attachments.isPending(delivery))) return { kind: 'interrupted' }
        const outcome = await target.send(withAttachments(delivery, attached), signal)
        // A service may answer with what it was sent.
        return concealed(outcome, concealer(secretsIn(attached)))
      } finally {
        await attached.release()
      }
    },
    close: () => target.close(),
  }
}

function withAttachments(delivery: Delivery, attached: Attached): Delivery {
  const { event } = delivery
  const { recording } = attached
  return {
    ...delivery,
    event: {
      ...event,
      body: withAttached(event.body, attached),
      contentType: asUtf8(event.body) === event.body ? event.contentType : 'application/json',
    },
    ...(recording && 'path' in recording && { recording }),
  }
}

function secretsIn({ recording }: Attached) {
  return recording && 'url' in recording ? [recording.url] : []
}
