import type { Case } from '../measure.ts'
import { BACKLOG } from './backlog.ts'
import { EVENT_LOOP } from './event-loop.ts'
import { EXPRESSIONS } from './expressions.ts'
import { FORWARDING, LATENCY } from './forwarding.ts'
import { CLAIM, HISTORY, START } from './growth.ts'
import { IDLE } from './idle.ts'
import { INGEST } from './ingest.ts'
import { ORDER } from './order.ts'
import { PEERS } from './peers.ts'
import { SLOW_DISK } from './slow-disk.ts'

/** All that is measured, in the order in which it is shown. */
export const CASES: readonly Case[] = [
  ...INGEST,
  EVENT_LOOP,
  ...EXPRESSIONS,
  SLOW_DISK,
  BACKLOG,
  FORWARDING,
  LATENCY,
  ...PEERS,
  ...CLAIM,
  HISTORY,
  ORDER,
  START,
  IDLE,
]
