import { dirname } from 'node:path'
import type { Config } from './config/config.ts'
import { accountOfSource } from './config/provider-accounts.ts'
import { attachmentsLog, type Logger } from './logging.ts'
import { CallAttachments, type CallAttachmentsOptions } from './ultravox/attachments.ts'
import { recordingsDirectory } from './ultravox/kept-recordings.ts'
import { freeBytesAt } from './upkeep/free-space.ts'

export type { CallAttachments }

/** The attachments of a relay with this configuration. `reserveBytes`: what of the disk is to be left, at the moment. */
export function createCallAttachments(
  config: Config,
  reserveBytes: () => number,
  {
    logger,
    ...options
  }: Pick<CallAttachmentsOptions, 'store' | 'clock' | 'steady' | 'random' | 'gates'> & { readonly logger: Logger },
): CallAttachments {
  const { outbox } = config
  const attachments = new CallAttachments({
    ...options,
    log: attachmentsLog(logger),
    directory: recordingsDirectory(outbox.path),
    async assertRoom(bytes) {
      if ((await freeBytesAt(dirname(outbox.path))) - bytes >= reserveBytes()) return
      throw new Error('no room on the disk beside outbox.reserve')
    },
  })
  attachments.prepare(config.ultravox, (source) => accountOfSource(config, source))()
  void attachments.cleanUp()
  return attachments
}
