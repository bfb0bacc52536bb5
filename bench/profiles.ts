/** A `.cpuprofile`, as far as it is read. Times in µs. */
export interface Profile {
  readonly startTime: number
  readonly nodes: readonly ProfileNode[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

interface ProfileNode {
  readonly id: number
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  readonly children?: readonly number[]
}

/** A function, as it was called from where it was called from. */
export interface Frame {
  readonly name: string
  /** Its file, from the root of the project on, and its line; empty where it is native. */
  readonly place: string
  readonly caller: Frame | null
}

/** How much time was spent in each function itself, between two instants (µs, of the monotonic clock). */
export function selfTimes({ startTime, nodes, samples, timeDeltas }: Profile, from: number, to: number) {
  const frames = framesOf(nodes)
  const times = new Map<Frame, number>()
  let at = startTime
  for (const [index, id] of samples.entries()) {
    const delta = timeDeltas[index]!
    at += delta
    const frame = frames.get(id)!
    if (at >= from && at <= to) times.set(frame, (times.get(frame) ?? 0) + delta)
  }
  return times
}

function framesOf(nodes: readonly ProfileNode[]): Map<number, Frame> {
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const frames = new Map<number, Frame>()
  const add = ({ id, callFrame, children = [] }: ProfileNode, caller: Frame | null) => {
    const { functionName, url, lineNumber } = callFrame
    const file = url.replace(/^.*\/(node_modules|build)\//, '$1/')
    const place = file === '' ? '' : `${file}:${lineNumber + 1}`
    const frame = { name: functionName || '(anonymous)', place, caller }
    frames.set(id, frame)
    for (const child of children) add(byId.get(child)!, frame)
  }
  add(nodes[0]!, null)
  return frames
}

/** What a function belongs to: itself, or else the nearest of its callers that belongs to anything. */
const AREAS: readonly [string, RegExp][] = [
  ['waiting', /^\(idle\)/],
  ['garbage collection', /^\(garbage collector\)/],
  ['native, called by no JavaScript', /^\(program\)/],
  ['SQLite: commit, with the fsync', /^exec node_modules\/better-sqlite3/],
  ['verify', /build\/src\/(sources|domain\/(ultravox-signature|timestamp|secret))/],
  ['log', /node_modules\/(pino|sonic-boom|quick-format-unescaped|safe-stable-stringify)|build\/src\/(logging|journal)/],
  ['ids', /build\/src\/(event-id|request-id|trace-ids)|node_modules\/uuid/],
  ['SQLite: all else', /node_modules\/better-sqlite3|build\/src\/outbox\/sqlite\/(?!sqlite-outbox|packing|worker)/],
  ['messages between the threads', /build\/src\/outbox|node:internal\/(worker|per_context\/messageport)/],
  ['send', /node_modules\/undici|build\/src\/targets/],
  ['deliver', /build\/src\/(delivery|lane-factory)/],
  ['count, trace', /build\/src\/(counted|traced|tracing)|node_modules\/prom-client/],
  ['receive, route', /build\/src\/(ingest|entry|domain)/],
  ['HTTP', /node:_http|node_modules\/(fastify|find-my-way|avvio)/],
]

export function areaOf(frame: Frame): string {
  for (let at: Frame | null = frame; at !== null; at = at.caller) {
    const text = `${at.name} ${at.place}`
    const found = AREAS.find(([, is]) => is.test(text))
    if (found !== undefined) return found[0]
  }
  return 'Node: sockets, timers, streams'
}
