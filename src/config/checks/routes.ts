import { compileEventPattern } from '../../domain/event-pattern.ts'
import { RELAY_EVENTS } from '../../domain/relay-events.ts'
import type { Draft } from '../draft.ts'
import type { Finding } from '../finding.ts'
import { didYouMean } from '../suggestion.ts'

/**
 * The events Ultravox sends today, and those of the relay. Others are relayed like any other, so a name not in here may
 * still be right.
 */
const KNOWN_EVENTS: readonly string[] = ['call.started', 'call.joined', 'call.ended', 'call.billed', ...RELAY_EVENTS]

/** The names in routes: targets that are not there, targets no route names, events that look mistyped. */
export function* checkRoutes(draft: Draft): Iterable<Finding> {
  for (const [index, route] of draft.routes.entries()) {
    yield* checkTo(draft, index, route.to ?? [])
    yield* checkSource(draft, index)
    yield* checkEvents(index, route.events ?? [], draft)
  }
  yield* checkUnused(draft)
}

function* checkTo({ targets, surroundings }: Draft, route: number, to: readonly string[]): Iterable<Finding> {
  for (const [index, name] of to.entries()) {
    const path = ['routes', route, 'to', index]
    if (!targets.has(name)) {
      const all = [...targets.keys()]
      const known = all.length === 0 ? 'add it to targets' : `the targets are ${all.join(', ')}`
      const advice = didYouMean(name, all) || `: ${known}`
      yield { path, message: `there is no target "${surroundings.written(path)}"${advice}` }
    } else if (to.indexOf(name) < index) {
      yield { path, message: 'is in this list already: remove it' }
    }
  }
}

function* checkSource({ routes, sources }: Draft, index: number): Iterable<Finding> {
  const { source, events = [] } = routes[index]!
  if (source === undefined) return
  const list = Array.isArray(source)
  for (const [position, name] of [source].flat().entries()) {
    if (sources.size === 0 || sources.has(name)) continue
    const all = [...sources.keys()]
    const advice = didYouMean(name, all) || `: the sources are ${all.join(', ')}`
    const path = ['routes', index, 'source', ...(list ? [position] : [])]
    yield { path, message: `is not the name of a source${advice}` }
  }
  for (const [position, event] of events.entries()) {
    if (!event.startsWith('relay.')) continue
    const message = "never matches here: the relay's own events come from no source; give them a route without source"
    yield { path: ['routes', index, 'events', position], message }
  }
}

function* checkEvents(route: number, events: readonly string[], { surroundings, sources }: Draft): Iterable<Finding> {
  const isVerified = [...sources.values()].every(({ scheme }) => scheme !== 'none')
  for (const [index, event] of events.entries()) {
    const matches = compileEventPattern(event)
    if (KNOWN_EVENTS.some((name) => matches(name))) continue
    const path = ['routes', route, 'events', index]
    const message = unknownEvent(event, isVerified)
    if (message !== null) yield { path, message: `"${surroundings.written(path)}" ${message}`, level: 'warning' }
  }
}

/** Null where the event may well be sent: Ultravox may add events, and sources without verification send any. */
function unknownEvent(event: string, isVerified: boolean): string | null {
  if (/[,;|]/.test(event))
    return 'matches no known event: write one event per element, as in [call.started, call.ended]'
  if (/^relay[^.]/.test(event)) return 'matches no known event: the events of the relay itself are relay.*'
  if (/[()[\]{}?^$!\\/+]/.test(event)) {
    return 'matches no known event: only * has a meaning of its own; write one event per element, as in [call.started, call.ended]'
  }
  if (/^(all|any)$/i.test(event)) return 'is the name of one event: write "*" for all events'
  const short = KNOWN_EVENTS.find((name) => name.endsWith(`.${event.toLowerCase()}`))
  const near = didYouMean(event.replaceAll('*', ''), KNOWN_EVENTS) || (short ? ` (did you mean "${short}"?)` : '')
  if (near !== '') return `matches no event known to be sent by Ultravox or the relay${near}`
  return event.includes('*') && isVerified ? 'matches no known event: * is any run of characters, as in call.*' : null
}

function* checkUnused({ targets, routes }: Draft): Iterable<Finding> {
  // With no routes that is said already; where one has no valid `to`, nobody knows what it would have named.
  if (routes.length === 0 || routes.some(({ to }) => to === undefined)) return
  const used = new Set(routes.flatMap(({ to }) => to))
  for (const name of targets.keys()) {
    if (used.has(name)) continue
    const message = 'no route leads to this target, so it is never used: name it in the "to" of a route, or remove it'
    yield { path: ['targets', name], message, at: 'key' }
  }
}
