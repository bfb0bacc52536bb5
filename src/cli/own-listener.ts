import type { Dispatcher } from 'undici'
import type { Config } from '../config/config.ts'

type RequestOptions = Omit<Dispatcher.RequestOptions, 'origin' | 'path'>

/** Where a relay that listens on `listen`, perhaps on all addresses, can be reached from here. */
export function ownOrigin({ server }: Config, listen: string): string {
  const address = listen.replace(/^0\.0\.0\.0:/, '127.0.0.1:').replace(/^\[::\]:/, '[::1]:')
  return `${server.tls === null ? 'http' : 'https'}://${address}`
}

/**
 * Sends a request to the relay of this configuration. Its certificate is for the public name, and not for the address that
 * it is asked at here, so it is not verified: nothing that is sent this way is a secret.
 */
export async function askOwn(
  { server }: Config,
  url: string,
  options: RequestOptions,
): Promise<Dispatcher.ResponseData> {
  const { Agent, request } = await import('undici')
  if (server.tls === null) return request(url, options)
  const dispatcher = new Agent({ connect: { rejectUnauthorized: false }, pipelining: 0 })
  return request(url, { ...options, dispatcher })
}
