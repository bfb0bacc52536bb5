import * as z from 'zod'
import { pathProblem } from '../home-path.ts'
import { duration, flag, size, text } from './scalars.ts'

const retentionSchema = z.strictObject({
  delivered: duration('1s', '36500d').prefault('30d').meta({
    description:
      'How long an event is kept with its body, deliveries and attempts after its last delivery was delivered or cancelled; or after it came, where it had none.',
  }),
  dead: duration('1s', '36500d').prefault('90d').meta({
    description: 'The same for dead deliveries, which can be retried for so long.',
  }),
  rejections: duration('1s', '36500d').prefault('7d').meta({
    description:
      'How long rejected requests are on record. Those that were genuine and can be admitted stay as long as dead deliveries, if that is longer.',
  }),
  keys: duration('2d', '36500d').prefault('400d').meta({
    description:
      'How long an event is still known as a duplicate after it came. What comes or is fetched again later than that is delivered again.',
  }),
})

export const outboxSchema = z.strictObject({
  path: text({ problemWith: pathProblem }).prefault('./data/relay.db').meta({
    description: 'The SQLite database that events and deliveries are kept in. Relative to the configuration file.',
  }),
  createIfMissing: flag().prefault(true).meta({
    description:
      'Whether the relay creates the outbox where it finds none. Set it to false after the first start: then a relay whose volume is not mounted does not start. `serve --create` overrides it once.',
  }),
  reserve: size('0b', '100000gb').prefault('256mb').meta({
    description:
      'Take no events (503) and raise relay.outbox.low_space while the file system of the outbox has less than this left.',
  }),
  retention: retentionSchema.prefault({}).meta({
    description: 'How long what is finished is kept. Unfinished deliveries and their events are kept in any case.',
  }),
  maxSize: size('1mb', '100000gb').optional().meta({
    description:
      'When the outbox holds more than this, the oldest finished events go before their time. Absent: no such bound.',
  }),
})
