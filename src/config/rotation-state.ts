import * as z from 'zod'
import { errorMessage, RelayError } from '../domain/errors.ts'
import { iso } from '../domain/iso.ts'
import { readSmallFile, removeFile, replaceFile } from '../safe-file.ts'
import type { Config } from './config.ts'

const instant = z.iso.datetime().transform(Date.parse)
const stateSchema = z.object({
  webhookId: z.string(),
  newSecret: z.string(),
  oldSecrets: z.array(z.string()),
  startedAt: instant,
  registeredAt: instant.nullable(),
  retiredAt: instant.nullable().default(null),
  unregisteredAt: instant.nullable().default(null),
})

/**
 * The progress of a rotation, kept beside the secrets file. Secrets are named by their fingerprints, instants are epoch
 * milliseconds. It holds only what cannot be read from the secrets file or from Ultravox.
 */
export interface RotationState {
  readonly webhookId: string
  readonly newSecret: string
  /** The source's secrets that signed the webhook when the rotation began, and that it replaces. */
  readonly oldSecrets: readonly string[]
  readonly startedAt: number
  /** Since when the new secret is registered at Ultravox; null: not known to be. */
  readonly registeredAt: number | null
  /** Since when the old secrets are not registered any more; null: they still are, or may be. */
  readonly retiredAt: number | null
  /** Since when `--abort` has removed the new secret from Ultravox; null where it has not. */
  readonly unregisteredAt: number | null
}

/** Returns null where no rotation is under way. Throws `config_invalid` for a file that is not such a state. */
export function readRotation(secretsFile: string): RotationState | null {
  const path = stateFile(secretsFile)
  try {
    return stateSchema.parse(JSON.parse(readSmallFile(path).text))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw new RelayError(
      'config_invalid',
      `${path} cannot be read, or is no state of a rotation: remove it to start over`,
    )
  }
}

/** Whether a webhook's secrets are in a file, so that they can be rotated. */
export function hasRotatable({ ultravox, sources }: Pick<Config, 'ultravox' | 'sources'>): boolean {
  return ultravox.some(({ webhook }) => {
    const source = webhook === null ? undefined : sources[webhook.source]
    return source?.scheme === 'ultravox' && source.secretsFile !== null
  })
}

/** An unfinished rotation, or why its state cannot be read. `which`: the option that names its account to a command. */
export type UnfinishedRotation = { readonly which: string } & (RotationState | { readonly problem: string })

/** The unfinished rotations of the configured webhooks' secrets, in the order of the accounts. */
export function unfinishedRotations({ ultravox, sources }: Pick<Config, 'ultravox' | 'sources'>): UnfinishedRotation[] {
  return ultravox.flatMap(({ account, webhook }): UnfinishedRotation[] => {
    const source = webhook === null ? undefined : sources[webhook.source]
    if (source?.scheme !== 'ultravox' || source.secretsFile === null) return []
    const which = ultravox.length === 1 ? '' : ` --account ${account}`
    try {
      const state = readRotation(source.secretsFile)
      return state === null ? [] : [{ which, ...state }]
    } catch (error) {
      return [{ which, problem: errorMessage(error) }]
    }
  })
}

/** Says how far a rotation has come, in one clause. */
export function rotationProgress({ registeredAt, retiredAt, unregisteredAt }: RotationState): string {
  if (unregisteredAt !== null) return `being undone since ${iso(unregisteredAt)}`
  if (retiredAt !== null) return `the old secret is retired at Ultravox since ${iso(retiredAt)}`
  if (registeredAt !== null) return `the new secret is registered at Ultravox since ${iso(registeredAt)}`
  return 'the new secret is not registered at Ultravox yet'
}

export function saveRotation(secretsFile: string, state: RotationState): void {
  const { startedAt, registeredAt, retiredAt, unregisteredAt } = state
  const written = {
    ...state,
    startedAt: iso(startedAt),
    registeredAt: registeredAt && iso(registeredAt),
    retiredAt: retiredAt && iso(retiredAt),
    unregisteredAt: unregisteredAt && iso(unregisteredAt),
  }
  replaceFile(stateFile(secretsFile), `${JSON.stringify(written, null, 2)}\n`, { mode: 0o600, like: secretsFile })
}

export function endRotation(secretsFile: string): void {
  removeFile(stateFile(secretsFile))
}

function stateFile(secretsFile: string): string {
  return `${secretsFile}.rotation`
}
