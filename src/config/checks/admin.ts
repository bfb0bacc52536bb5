import type { Draft } from '../draft.ts'
import type { Finding } from '../finding.ts'
import { isLoopback } from '../loopback.ts'

/** Who can reach the admin listener can see calls and change deliveries: nobody may without a token. */
export function* checkAdmin({ admin, server }: Draft): Iterable<Finding> {
  const listen = admin?.listen
  if (admin === undefined || listen === undefined || 'socketPath' in listen) return
  if (listen.port !== 0 && listen.port === server.listen?.port && listen.host === server.listen.host) {
    yield { path: ['admin', 'listen'], message: 'is where webhooks come in (server.listen): give it a port of its own' }
  }
  // A token that is there but cannot be had, or is not sound, is not a key here; that is told elsewhere.
  const hasNone = 'token' in admin && admin.token === undefined
  if (!hasNone || isLoopback(listen.host)) return
  const message =
    'can be reached from other machines, and there is no token: add token: ${ADMIN_TOKEN}, or listen on 127.0.0.1'
  yield { path: ['admin', 'listen'], message }
}
