import type Database from 'better-sqlite3'
import type { Stopwatch } from '../../domain/clock.ts'
import { createAttachmentStore, type SqliteAttachmentStore } from './attachments.ts'
import { createCallOrder } from './call-order.ts'
import { type ClaimTimesStore, createClaimTimesStore } from './claim-times.ts'
import { type ClockTrustStore, createClockTrustStore } from './clock-trust.ts'
import { createDaemonStateStore, type DaemonStateStore } from './daemon-state.ts'
import { createDelayLimitStore } from './delay-limit.ts'
import { createDeliveryStore, type DeliveryStore } from './deliveries.ts'
import { createEventStore, type EventStore } from './events.ts'
import { createHeldBacklogStore, type HeldBacklogStore } from './held-backlog.ts'
import { createOrderSettings } from './order-settings.ts'
import { createProbeChoice, type ProbeChoice } from './probe-choice.ts'
import { createProbeStore, type ProbeStore } from './probes.ts'
import { createRecallStore, type RecallStore } from './recalls.ts'
import { createAwaitedEventStore, createReconciliationStore } from './reconciliation.ts'
import { createRejectionStore, type RejectionStore } from './rejections.ts'
import { createRetentionStore, type SqliteRetentionStore } from './retention.ts'
import { createSecretUseStore, type SecretUseStore } from './secret-uses.ts'
import { createStoppedTimeStore, type StoppedTimeStore } from './stopped-time.ts'
import { createTallyStore, type TallyStore } from './tally.ts'
import { createTargetSettingsStore, type TargetSettingsStore } from './target-settings.ts'
import { createTargetStateStore, type TargetStateStore } from './target-states.ts'

/**
 * What the outbox does to its tables, synchronously and without transactions of its own: the batch that calls these
 * gives the transaction. Nothing here knows of leases.
 */
export interface Store
  extends EventStore,
    DeliveryStore,
    ProbeChoice,
    RejectionStore,
    TargetSettingsStore,
    StoppedTimeStore,
    ClaimTimesStore,
    TargetStateStore,
    DaemonStateStore,
    HeldBacklogStore,
    RecallStore,
    ProbeStore,
    TallyStore,
    SqliteAttachmentStore,
    SecretUseStore,
    SqliteRetentionStore,
    ClockTrustStore,
    ReturnType<typeof createReconciliationStore>,
    ReturnType<typeof createAwaitedEventStore> {}

export function createStore(database: Database.Database, stopwatch?: Stopwatch): Store {
  const order = createCallOrder(database, true)
  const deliveries = createDeliveryStore(database, order)
  const stops = createStoppedTimeStore(database, deliveries.targetsWithDeliveries)
  const delays = createDelayLimitStore(database)
  return {
    ...createEventStore(database, order),
    ...deliveries,
    ...createProbeChoice(database),
    ...createRejectionStore(database),
    ...stops,
    ...createClaimTimesStore(database),
    ...createTargetSettingsStore(stops, createOrderSettings(database, order), delays),
    ...createTargetStateStore(database),
    ...createDaemonStateStore(database),
    ...createRecallStore(database),
    ...createProbeStore(database),
    ...createSecretUseStore(database),
    ...createHeldBacklogStore(database),
    ...createTallyStore(database),
    ...createReconciliationStore(database),
    ...createAwaitedEventStore(database),
    ...createAttachmentStore(database),
    ...createRetentionStore(database, stopwatch),
    ...createClockTrustStore(database),
  }
}
