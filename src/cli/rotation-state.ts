import { z } from 'zod'
import { RelayError } from '../domain/errors.ts'
import { readSmallFile, removeFile, replaceFile } from '../safe-file.ts'
import { iso } from './instant.ts'

const instant = z.iso.datetime().transform(Date.parse)
const stateSchema = z.object({
  webhookId: z.string(),
  newSecret: z.string(),
  oldSecrets: z.array(z.string()),
  startedAt: instant,
  registeredAt: instant.nullable(),
})

/**
 * How far a rotation has come, beside the secrets file; secrets by their fingerprints. Most is looked up anew at every
 * step: only what cannot be is here.
 */
export interface RotationState {
  readonly webhookId: string
  readonly newSecret: string
  /** Ours that the webhook was signed with when the rotation began: those that are to go. */
  readonly oldSecrets: readonly string[]
  /** Epoch milliseconds. */
  readonly startedAt: number
  /** Since when Ultravox signs with the new one too; null: not known to yet. */
  readonly registeredAt: number | null
}

/** Null where no rotation is under way. Throws `config_invalid` where the file is no such state. */
export function readRotation(secretsFile: string): RotationState | null {
  const path = stateFile(secretsFile)
  try {
    return stateSchema.parse(JSON.parse(readSmallFile(path).text))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw new RelayError(
      'config_invalid',
      `${path} cannot be read, or is no state of a rotation: remove it to begin anew`,
    )
  }
}

export function saveRotation(secretsFile: string, { startedAt, registeredAt, ...state }: RotationState): void {
  const written = {
    ...state,
    startedAt: iso(startedAt),
    registeredAt: registeredAt === null ? null : iso(registeredAt),
  }
  replaceFile(stateFile(secretsFile), `${JSON.stringify(written, null, 2)}\n`, { mode: 0o600, like: secretsFile })
}

export function endRotation(secretsFile: string): void {
  removeFile(stateFile(secretsFile))
}

function stateFile(secretsFile: string): string {
  return `${secretsFile}.rotation`
}
