import type { Payload } from './event.ts'
import { type EventView, eventContext } from './event-context.ts'
import { compileEventPattern } from './event-pattern.ts'
import { compileCondition } from './expression.ts'
import { RELAY_SOURCE } from './relay-events.ts'

/** A route as written: event patterns, source names (null or absent: every source), a JSONata condition or null, target names. */
export interface RouteSpec {
  readonly events: readonly string[]
  readonly sources?: readonly string[] | null
  readonly when: string | null
  readonly to: readonly string[]
}

/** A route, ready to be asked. */
export interface Route {
  /** Whether one of the route's event patterns matches this name, and the route is for this source. */
  readonly matches: (event: string, source: string) => boolean
  /** The `when` condition over the payload, or null where the route has none. May throw on a payload it cannot judge. */
  readonly when: Condition | null
  readonly to: readonly string[]
}

/** Judges the payload of an event that came from a source. May reject. */
export type Condition = (payload: Payload, source?: string) => Promise<boolean>

/** Makes a condition of its text. Throws `ExpressionError` if that is not JSONata. */
export type ConditionCompiler = (text: string) => Condition

/** Bounds neither time nor memory. */
function unbounded(text: string): Condition {
  const condition = compileCondition(text)
  return (payload, source) => condition(conditionContext(payload, { name: payload.event, source }))
}

/** What a condition sees. A field that is null stays: a condition that fails counts as true, one on a missing field does not. */
export function conditionContext(payload: Payload, event: EventView): object {
  return eventContext(payload, event, 'kept')
}

/** Throws `ExpressionError` if the condition is not JSONata. The default compiler bounds neither time nor memory. */
export function compileRoute({ events, sources, when, to }: RouteSpec, compile: ConditionCompiler = unbounded): Route {
  const patterns = events.map(compileEventPattern)
  return {
    matches: (event, source) =>
      sources?.includes(source) !== false && patterns.some((matches) => matches(event, source === RELAY_SOURCE)),
    when: when === null ? null : compile(when),
    to,
  }
}

/**
 * Returns the names of the targets that an event of `source` goes to, each once, in the order of the routes.
 * A condition that fails on a payload counts as true: sending what was perhaps not wanted can be mended, not sending
 * what was wanted is a loss. `onError` is told, with the route's index from 0.
 */
export async function routeEvent(
  routes: readonly Route[],
  payload: Payload,
  source: string,
  onError: (routeIndex: number, error: unknown) => void,
): Promise<string[]> {
  const targets = new Set<string>()
  for (const [index, route] of routes.entries()) {
    if (!route.matches(payload.event, source)) continue
    if (route.when !== null && !(await holds(route.when, payload, source, (error) => onError(index, error)))) continue
    for (const target of route.to) targets.add(target)
  }
  return [...targets]
}

async function holds(
  when: Condition,
  payload: Payload,
  source: string,
  onError: (error: unknown) => void,
): Promise<boolean> {
  try {
    return await when(payload, source)
  } catch (error) {
    onError(error)
    return true
  }
}
