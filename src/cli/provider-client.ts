import type { UltravoxConfig } from '../config/config.ts'
import type { UltravoxClient } from '../ultravox/client.ts'

/** Works with the provider's API, and closes all that it takes. Rejects as `work` does, or with `config_invalid`. */
export async function withClient<T>(
  { baseUrl, apiKey }: UltravoxConfig,
  work: (client: UltravoxClient) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const { createUltravoxClient } = await import('../ultravox/client.ts')
  const client = createUltravoxClient({ baseUrl, apiKey, random: Math.random, ...(signal && { signal }) })
  try {
    return await work(client)
  } finally {
    await client.close()
  }
}
