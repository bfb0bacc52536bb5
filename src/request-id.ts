import { randomBytes } from 'node:crypto'

/**
 * What the ids of this process begin with: its start to the millisecond, so that a later process's ids sort later, and
 * chance, for two that start at once.
 */
const RUN = `req_${Math.floor(performance.timeOrigin).toString(36)}${randomBytes(2).toString('hex')}`

let requests = 0

/**
 * A new request's id, such as `req_mieq1x3c9f04-00001a`: unique over restarts, later ones sort later. A counter: a random
 * id for each request would cost as much as all else that is logged of it.
 */
export function newRequestId(): string {
  requests += 1
  return `${RUN}-${requests.toString(36).padStart(6, '0')}`
}
