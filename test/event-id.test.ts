import t from 'tap'
import { newEventId } from '../src/event-id.ts'

t.test('an event’s id is a UUID of version 7 behind evt_', async (t) => {
  const before = Date.now()
  const id = newEventId()
  t.match(id, /^evt_[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}$/)
  const madeAt = Number.parseInt(id.slice(4, 16), 16)
  t.ok(madeAt >= before && madeAt <= Date.now())
})

t.test('of many made at once none is there twice, and each sorts after the one before', async (t) => {
  const ids = Array.from({ length: 20_000 }, newEventId)
  t.equal(new Set(ids).size, ids.length)
  t.same(ids, ids.toSorted())
})

t.test('ids go on rising while the clock is behind', async (t) => {
  const now = Date.now
  const ids = [newEventId()]
  try {
    for (const behindMs of [1, 1_000, 3_600_000, 0]) {
      Date.now = () => now() - behindMs
      ids.push(newEventId(), newEventId())
    }
  } finally {
    Date.now = now
  }
  t.same(ids, ids.toSorted())
})
