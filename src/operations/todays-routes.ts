import type { Config } from '../config/config.ts'
import { concealer } from '../domain/concealer.ts'
import type { NewDelivery } from '../domain/delivery.ts'
import { errorMessage } from '../domain/errors.ts'
import type { Payload } from '../domain/event.ts'
import { compileRoute, routeEvent } from '../domain/routing.ts'
import { boundedCondition } from '../expressions/bounded.ts'
import { configuredTarget } from './known-target.ts'

/** Names the targets that a payload of a source goes to; a warning names `what` it belongs to. */
export type Router = (payload: Payload, source: string, what: string) => Promise<readonly string[]>

/** The routes as they are today; a condition that fails on a payload counts as true, which `warn` is told once a route. */
export function todaysRoutes(config: Config, warn: (text: string) => void): Router {
  const routes = config.routes.map((route) => compileRoute(route, boundedCondition))
  const concealers = config.routes.map(({ referenced }) => concealer(referenced.fallbacks, referenced.values))
  const told = new Set<number>()
  return (payload, source, what) =>
    routeEvent(routes, payload, source, (index, error) => {
      if (!told.has(index)) {
        const problem = concealers[index]!(errorMessage(error))
        const { name } = config.routes[index]!
        warn(
          `warning: routes[${index}].when${name === null ? '' : ` (${name})`} fails, taken as true: ${problem} (${what})`,
        )
      }
      told.add(index)
    })
}

/** Deliveries to configured targets, ordered where the target is. */
export function deliveriesTo(config: Config, targets: readonly string[]): NewDelivery[] {
  return targets.map((target) => ({ target, ordered: configuredTarget(config, target).ordered }))
}
