import { ANY_KEY, type FieldPath } from './field-path.ts'
import { JsonCursor } from './json-cursor.ts'

/** A body without the fields that are not meant for the target. */
export interface Redacted {
  /** The same object where there was nothing to take out. */
  readonly json: Uint8Array
  /** Whether each of the paths has led to something, in their order. */
  readonly matched: readonly boolean[]
}

/** From, up to but without. */
type Range = readonly [from: number, to: number]

const COMMA = 0x2c
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d]

/**
 * Cuts the members at these paths out of JSON text. Everything else stays byte for byte as it was received: parsing and
 * writing it again would round integers beyond 2^53, drop all but the last of duplicate keys and write `1.0` as `1`.
 * Of duplicate keys all are cut, since a receiver may go by any of them; keys are compared with their escapes resolved.
 *
 * Only for what `JSON.parse` takes.
 */
export function createRedaction(paths: readonly FieldPath[]): (json: Uint8Array) => Redacted {
  const ways = paths.map((rest, index) => ({ index, rest }))
  return (json) => {
    const matched = paths.map(() => false)
    const cuts = new Scan(json, matched).cutsIn(ways)
    return { json: cuts.length === 0 ? json : without(json, cuts), matched }
  }
}

/** What is left of a path on the way into a text. */
interface Way {
  /** Which of the paths it is. */
  readonly index: number
  readonly rest: FieldPath
}

function without(json: Uint8Array, cuts: readonly Range[]): Uint8Array {
  const kept: Uint8Array[] = []
  let from = 0
  for (const [start, end] of cuts) {
    kept.push(json.subarray(from, start))
    from = end
  }
  return Buffer.concat([...kept, json.subarray(from)])
}

/** One walk through a text. It goes as deep as the paths, never as deep as the text, which may be nested without end. */
class Scan {
  readonly #cursor: JsonCursor
  /** In the order of the text, none touching another's inside. */
  readonly #cuts: Range[] = []

  readonly #matched: boolean[]

  constructor(json: Uint8Array, matched: boolean[]) {
    this.#cursor = new JsonCursor(json)
    this.#matched = matched
  }

  cutsIn(paths: readonly Way[]): readonly Range[] {
    this.#cursor.skipBlanks()
    this.#value(paths)
    return this.#cuts
  }

  /** Moves past the value that starts here, cutting what `paths` lead to in it. */
  #value(paths: readonly Way[]): void {
    const first = this.#cursor.byte
    if (paths.length > 0 && (first === OPEN_OBJECT || first === OPEN_LIST)) this.#members(first, paths)
    else this.#cursor.skipValue()
  }

  /** Moves past an object or a list. A member is cut together with the comma that its going makes one too many. */
  #members(opening: number, paths: readonly Way[]): void {
    const closing = opening === OPEN_OBJECT ? CLOSE_OBJECT : CLOSE_LIST
    /** Where what is cut of the members before the first one kept starts; it ends where that one starts. */
    let leading: number | undefined
    let kept = false
    let end = this.#cursor.at + 1
    this.#cursor.at++
    this.#cursor.skipBlanks()
    for (let index = 0; this.#cursor.byte !== closing; index++) {
      const start = this.#cursor.at
      const rest = further(paths, opening === OPEN_OBJECT ? this.#cursor.takeKey() : String(index))
      const arrived = rest.filter((way) => way.rest.length === 0)
      for (const way of arrived) this.#matched[way.index] = true
      if (arrived.length > 0) {
        this.#cursor.skipValue()
        if (kept) this.#cuts.push([end, this.#cursor.at])
        else leading ??= start
      } else {
        if (leading !== undefined) this.#cuts.push([leading, start])
        leading = undefined
        kept = true
        this.#value(rest)
      }
      end = this.#cursor.at
      this.#cursor.skipBlanks()
      if (this.#cursor.byte === COMMA) this.#cursor.at++
      this.#cursor.skipBlanks()
      if (this.#cursor.ended) throw new Error('the body is not JSON')
    }
    if (leading !== undefined) this.#cuts.push([leading, end])
    this.#cursor.at++
  }
}

/**
 * The rests of the paths that lead through this key; an empty one has arrived at it. Keys without quotes are also taken
 * for one key with dots in it: `a.b` leads to `{"a":{"b":1}}` and to `{"a.b":1}`.
 */
function further(paths: readonly Way[], key: string): Way[] {
  const found: Way[] = []
  for (const { index, rest } of paths) {
    if (rest[0] === ANY_KEY || keyOf(rest[0]!) === key) found.push({ index, rest: rest.slice(1) })
    let joined = rest[0]!
    for (let length = 2; length <= rest.length && typeof joined === 'string' && joined.length < key.length; length++) {
      const next = rest[length - 1]!
      if (typeof next !== 'string') break
      joined = `${joined}.${next}`
      if (joined === key) found.push({ index, rest: rest.slice(length) })
    }
  }
  return found
}

function keyOf(segment: FieldPath[number]): string {
  return typeof segment === 'string' ? segment : segment.key
}
