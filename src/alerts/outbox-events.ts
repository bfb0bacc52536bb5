import { type Alert, megabytes } from './relay-event.ts'

/** The outbox is larger than `outbox.maxSize`, and all that is left in it has to stay. */
export function outboxFull(excessBytes: number, maxSizeBytes: number): Alert {
  const [size, max] = [megabytes(maxSizeBytes + excessBytes), megabytes(maxSizeBytes)]
  return {
    event: 'relay.outbox.full',
    subject: 'outbox',
    message: `The outbox holds ${size}, more than its maxSize of ${max}, and nothing that is finished is left to remove.`,
    facts: { outbox: { usedBytes: maxSizeBytes + excessBytes, maxSizeBytes } },
  }
}

export function outboxSizeRecovered(): Alert {
  return {
    event: 'relay.outbox.size_recovered',
    subject: 'outbox',
    message: 'The outbox is within its maxSize again.',
    facts: { outbox: {} },
  }
}

export function walReleased(): Alert {
  return {
    event: 'relay.outbox.wal_released',
    subject: 'outbox',
    message: 'No program keeps the WAL of the outbox from being checkpointed any more.',
    facts: { outbox: {} },
  }
}

/** `path`: of the outbox. */
export function logHeld(logBytes: number, path: string): Alert {
  return {
    event: 'relay.outbox.wal_pinned',
    subject: 'outbox',
    message: `The outbox's log has grown to ${megabytes(logBytes)}: some program reads the outbox without ever ending. Find it with: fuser -v ${path}`,
    facts: { outbox: { walBytes: logBytes, path } },
  }
}
