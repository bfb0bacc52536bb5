import { dirname } from 'node:path'
import { freeBytesAt } from './alerts/low-space.ts'
import type { Config } from './config/config.ts'
import { attachmentsLog, type Logger } from './logging.ts'
import { CallAttachments, type CallAttachmentsOptions } from './ultravox/attachments.ts'

export type { CallAttachments }

/** The attachments of a relay with this configuration. Recordings are kept beside the outbox, as `relay.db-recordings`. */
export function createCallAttachments(
  { outbox, ultravox }: Config,
  { logger, ...options }: Pick<CallAttachmentsOptions, 'store' | 'clock' | 'random'> & { readonly logger: Logger },
): CallAttachments {
  const attachments = new CallAttachments({
    ...options,
    log: attachmentsLog(logger),
    directory: `${outbox.path}-recordings`,
    async assertRoom(bytes) {
      if ((await freeBytesAt(dirname(outbox.path))) - bytes >= outbox.reserveBytes) return
      throw new Error('no room on the disk beside outbox.reserve')
    },
  })
  attachments.prepare(ultravox)()
  void attachments.cleanUp()
  return attachments
}
