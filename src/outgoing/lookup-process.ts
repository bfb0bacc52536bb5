import { type LookupAddress, lookup } from 'node:dns'

/** A question for the process. */
export interface ToLookupProcess {
  readonly id: number
  readonly hostname: string
}

/** Its answer: the addresses in the order of the resolver, or the code of the failure. */
export type FromLookupProcess =
  | { readonly id: number; readonly addresses: readonly { readonly address: string; readonly family: number }[] }
  | { readonly id: number; readonly code: string }

/** How long the answer for both families may take before IPv4 alone is asked for. */
const BOTH_FAMILIES_MS = 1_000

/**
 * Resolves a name. Some name servers and firewalls drop questions for IPv6 addresses, and the C library waits ten seconds
 * for an answer before it returns the IPv4 addresses that it has had all the time.
 */
function resolve(
  hostname: string,
  done: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
): void {
  let isDone = false
  const ipv4Only = setTimeout(() => {
    lookup(hostname, { all: true, family: 4 }, (error, addresses) => {
      if (error === null && !isDone) end(null, addresses)
    })
  }, BOTH_FAMILIES_MS)
  const end: typeof done = (error, addresses) => {
    isDone = true
    clearTimeout(ipv4Only)
    done(error, addresses)
  }
  lookup(hostname, { all: true }, (error, addresses) => {
    if (!isDone) end(error, addresses)
  })
}

/**
 * The process that resolves names for the relay, with threads of its own: see `system-lookup.ts`. It ends when the relay
 * has. A normal exit would wait for the system's look-ups, which takes as long as the name servers are silent.
 */
function main(): void {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => {})
  process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
  process.on('message', ({ id, hostname }: ToLookupProcess) => {
    const answer = (message: FromLookupProcess) => process.connected && process.send!(message)
    resolve(hostname, (error, addresses) => {
      answer(error === null ? { id, addresses } : { id, code: error.code ?? 'EAI_FAIL' })
    })
  })
}

main()
