import t from 'tap'
import { scratch } from '../scratch.ts'
import type { OpenOutbox } from './contract.ts'
import { attemptAt, newEvent, to } from './samples.ts'

const transcript = { contentType: 'application/json', body: Buffer.from('[{"text":"ä"}]') }

/** What every implementation has to hold to about attachments. */
export function attachmentContract(name: string, open: OpenOutbox): void {
  t.test(`${name}: an attachment is kept until the last delivery of its event is finished`, async (t) => {
    const directory = scratch(t)
    const first = await open(directory)
    const event = newEvent()
    await first.record(event, to('crm', 'ops'))
    t.equal(await first.attachment(event.eventId, 'transcript'), null)
    await first.saveAttachment(event.eventId, 'transcript', { ...transcript, body: Buffer.from('[]') })
    await first.saveAttachment(event.eventId, 'transcript', transcript)
    await first.saveAttachment(event.eventId, 'recording', { contentType: 'audio/wav', body: null })
    await first.close()

    const outbox = await open(directory)
    t.teardown(() => outbox.close())
    const settle = async (target: string, state: 'delivered' | 'dead') => {
      const [delivery] = (await outbox.claim(target, 1, 5_000)).deliveries
      const outcome = state === 'dead' ? 'refused' : state
      await outbox.settle(delivery!, attemptAt(delivery!, outcome), { state })
    }
    await settle('crm', 'delivered')
    const kept = await outbox.attachment(event.eventId, 'transcript')
    t.same({ ...kept, body: Buffer.from(kept!.body!) }, transcript, 'the last one saved')
    t.same(await outbox.attachment(event.eventId, 'recording'), { contentType: 'audio/wav', body: null })
    t.same(await outbox.eventsWithRecording(), [event.eventId])

    await settle('ops', 'dead')
    t.equal(await outbox.attachment(event.eventId, 'transcript'), null)
    t.same(await outbox.eventsWithRecording(), [])
    await outbox.saveAttachment(event.eventId, 'transcript', transcript)
    t.equal(await outbox.attachment(event.eventId, 'transcript'), null, 'what comes too late is not kept')
  })
}
