import type { Draft } from './draft.ts'
import type { Finding } from './finding.ts'
import { isLoopback } from './loopback.ts'

/** The secret in `relay.example.yaml`. Everybody knows it: good for trying the relay out, and for nothing else. */
export const EXAMPLE_SECRET = 'whsec_example_do_not_use'

/** What there is to say of the example secret, wherever it stands: an error where other machines can reach the relay. */
export function exampleFindings({ server }: Draft): Pick<Finding, 'message' | 'level'>[] {
  if (server.listen === undefined) return []
  const behindProxy = (server.trustProxy ?? []).length > 0
  const known = 'is the example secret, which everybody knows'
  const remedy = 'write the secret of your own webhook (set ULTRAVOX_WEBHOOK_SECRET)'
  if (isLoopback(server.listen.host) && !behindProxy) {
    const message = `${known}: good for trying things out here; for anything else, ${remedy}`
    return [{ message, level: 'warning' }]
  }
  const how = behindProxy
    ? 'a proxy brings requests from other machines'
    : 'server.listen can be reached from other machines'
  return [{ message: `${known}, and ${how}: ${remedy}, or listen on 127.0.0.1 without a proxy` }]
}
