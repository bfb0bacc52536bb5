import { compileEventPattern } from '../../domain/event-pattern.ts'
import type { Draft } from '../draft.ts'
import type { Finding } from '../finding.ts'

/** A route whose parts are all there. */
interface Lane {
  readonly events: readonly string[]
  readonly to: readonly string[]
  /** Null: every source. */
  readonly sources: readonly string[] | null
  readonly conditional: boolean
}

/** Routes that change nothing, because others without a condition send all the same events to all the same targets. */
export function* checkReach({ routes }: Draft): Iterable<Finding> {
  const lanes = routes.map(laneOf)
  for (const [index, lane] of lanes.entries()) {
    if (lane === undefined) continue
    const earlier = coveredBy(lane, lanes.slice(0, index))
    if (earlier !== undefined) {
      const senders = sendersOf(earlier, 'already ')
      const message = `unreachable: ${senders} these events to these targets: remove this route, or change it`
      yield { path: ['routes', index], message }
      continue
    }
    const anyOther = lane.conditional ? coveredBy(lane, lanes.with(index, undefined)) : undefined
    if (anyOther === undefined) continue
    const message = `has no effect: ${sendersOf(anyOther)} these events to these targets whether it holds or not`
    yield { path: ['routes', index, 'when'], message, level: 'warning' }
  }
}

function laneOf(route: Draft['routes'][number]): Lane | undefined {
  if (route.events === undefined || route.to === undefined || !('when' in route && 'source' in route)) return undefined
  const sources = route.source === undefined ? null : [route.source].flat()
  return { events: route.events, to: route.to, sources, conditional: route.when !== undefined }
}

/** The indexes of the routes that together cover every event of the lane for every target of it, if there are such. */
function coveredBy(lane: Lane, others: readonly (Lane | undefined)[]): Set<number> | undefined {
  const covering = new Set<number>()
  for (const event of lane.events) {
    for (const target of lane.to) {
      for (const source of lane.sources ?? [null]) {
        const index = others.findIndex((other) => other !== undefined && sends(other, event, target, source))
        if (index === -1) return undefined
        covering.add(index)
      }
    }
  }
  return covering
}

/** `source`: null stands for all sources. */
function sends(lane: Lane, event: string, target: string, source: string | null): boolean {
  if (lane.conditional || !lane.to.includes(target)) return false
  if (lane.sources !== null && (source === null || !lane.sources.includes(source))) return false
  return lane.events.some((pattern) => patternCovers(pattern, event))
}

/**
 * Whether a pattern takes every name another one takes. It is enough to match the other's text: its `*` is then
 * inside of what a `*` of the first stands for, because nothing else in a pattern matches a `*`.
 */
export function patternCovers(pattern: string, other: string): boolean {
  return compileEventPattern(pattern)(other)
}

/** `routes[0] already sends`, `routes[0] and routes[2] already send`. */
function sendersOf(indexes: ReadonlySet<number>, adverb = ''): string {
  const names = [...indexes].toSorted((a, b) => a - b).map((index) => `routes[${index}]`)
  return `${names.join(' and ')} ${adverb}${names.length === 1 ? 'sends' : 'send'}`
}
