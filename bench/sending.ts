import { Agent, request } from 'undici'

export interface Sent {
  readonly headers: string[]
  readonly body: Buffer
}

export interface Sending {
  readonly count: number
  readonly connections: number
  /** The next request: made when it is its turn. */
  readonly next: () => Sent
}

/** Sends so many POST requests from this process, as fast as they are answered. Throws where one is not answered with 204. */
export async function sendAll(url: string, { count, connections, next }: Sending): Promise<void> {
  const dispatcher = new Agent({ connections })
  let left = count
  const sender = async () => {
    while (left > 0) {
      left -= 1
      const { statusCode, body } = await request(url, { method: 'POST', ...next(), dispatcher })
      await body.dump()
      if (statusCode !== 204) throw new Error(`a request was answered with ${statusCode}`)
    }
  }
  try {
    await Promise.all(Array.from({ length: connections }, sender))
  } finally {
    await dispatcher.close()
  }
}
