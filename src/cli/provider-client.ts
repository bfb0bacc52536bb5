import { Option } from 'commander'
import type { Config, UltravoxConfig } from '../config/config.ts'
import { RelayError } from '../domain/errors.ts'
import type { UltravoxClient } from '../ultravox/client.ts'

/** For commands that work on one account at the provider. */
export function accountOption(): Option {
  return new Option('--account <name>', 'the Ultravox account, where several are configured')
}

/** The account of this name, or the only one. Throws `usage`. */
export function chosenAccount({ ultravox }: Pick<Config, 'ultravox'>, name: string | undefined): UltravoxConfig {
  const names = ultravox.map(({ account }) => account).join(', ')
  const [only] = ultravox
  if (name === undefined && only !== undefined && ultravox.length === 1) return only
  if (name === undefined)
    throw new RelayError('usage', `several accounts are configured: pass --account, one of ${names}`)
  const found = ultravox.find(({ account }) => account === name)
  if (found === undefined) throw new RelayError('usage', `no account is named ${name}: there are ${names}`)
  return found
}

/** Works with the provider's API, and closes all that it takes. Rejects as `work` does, or with `config_invalid`. */
export async function withClient<T>(
  ultravox: UltravoxConfig,
  work: (client: UltravoxClient) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const { createUltravoxClient } = await import('../ultravox/client.ts')
  const client = createUltravoxClient({ ...ultravox, random: Math.random, ...(signal && { signal }) })
  try {
    return await work(client)
  } finally {
    await client.close()
  }
}
