import { join } from 'node:path'
import t from 'tap'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { attachmentContract } from './attachment-contract.ts'
import { type OpenOutbox, outboxContract } from './contract.ts'
import { retentionContract } from './retention-contract.ts'

const open: OpenOutbox = (directory) => SqliteOutbox.open(join(directory, 'relay.db'), (error) => t.fail(error.message))

outboxContract('sqlite', open)
retentionContract('sqlite', open)
attachmentContract('sqlite', open)
