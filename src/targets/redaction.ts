import type { FieldPath } from '../domain/field-path.ts'

/** A body without the fields that are not meant for the target. The same object where there was nothing to take out. */
export type Redaction = (json: Uint8Array) => Uint8Array

/** From, up to but without. */
type Range = readonly [from: number, to: number]

const [QUOTE, COMMA, BACKSLASH] = [0x22, 0x2c, 0x5c]
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d]

/**
 * Cuts the members at these paths out of JSON text. Everything else stays byte for byte as it was received: parsing and
 * writing it again would round integers beyond 2^53, drop all but the last of duplicate keys and write `1.0` as `1`.
 * Of duplicate keys all are cut, since a receiver may go by any of them; keys are compared with their escapes resolved.
 *
 * Only for what `JSON.parse` takes: the scanner relies on it, and in what it does otherwise nothing is promised. Bytes
 * that are no UTF-8 do not confuse it: JSON's own characters are ASCII, and a decoder never makes these out of others.
 */
export function createRedaction(paths: readonly FieldPath[]): Redaction {
  return (json) => {
    const cuts = new Scan(json).cutsIn(paths)
    return cuts.length === 0 ? json : without(json, cuts)
  }
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
  readonly #json: Uint8Array
  /** In the order of the text, none touching another's inside. */
  readonly #cuts: Range[] = []
  #at = 0

  constructor(json: Uint8Array) {
    this.#json = json
  }

  cutsIn(paths: readonly FieldPath[]): readonly Range[] {
    this.#skipBlanks()
    this.#value(paths)
    return this.#cuts
  }

  /** Moves past the value that starts here, cutting what `paths` lead to in it. */
  #value(paths: readonly FieldPath[]): void {
    const first = this.#json[this.#at]
    if (paths.length > 0 && (first === OPEN_OBJECT || first === OPEN_LIST)) this.#members(first, paths)
    else this.#skipValue()
  }

  /** Moves past an object or a list. A member is cut together with the comma that its going makes one too many. */
  #members(opening: number, paths: readonly FieldPath[]): void {
    const closing = opening === OPEN_OBJECT ? CLOSE_OBJECT : CLOSE_LIST
    /** Where what is cut of the members before the first one kept starts; it ends where that one starts. */
    let leading: number | undefined
    let kept = false
    let end = this.#at + 1
    this.#at++
    this.#skipBlanks()
    for (let index = 0; this.#json[this.#at] !== closing; index++) {
      const start = this.#at
      const rest = further(paths, opening === OPEN_OBJECT ? this.#key() : String(index))
      if (rest.some((path) => path.length === 0)) {
        this.#skipValue()
        if (kept) this.#cuts.push([end, this.#at])
        else leading ??= start
      } else {
        if (leading !== undefined) this.#cuts.push([leading, start])
        leading = undefined
        kept = true
        this.#value(rest)
      }
      end = this.#at
      this.#skipBlanks()
      if (this.#json[this.#at] === COMMA) this.#at++
      this.#skipBlanks()
      if (this.#at >= this.#json.length) throw new Error('the body is not JSON')
    }
    if (leading !== undefined) this.#cuts.push([leading, end])
    this.#at++
  }

  /** Moves to the value of the member whose key starts here, and gives the key. */
  #key(): string {
    const start = this.#at
    this.#skipString()
    const text = Buffer.from(this.#json.buffer, this.#json.byteOffset + start, this.#at - start).toString('utf8')
    this.#skipBlanks()
    // The colon.
    this.#at++
    this.#skipBlanks()
    return JSON.parse(text) as string
  }

  #skipValue(): void {
    let depth = 0
    do {
      const byte = this.#json[this.#at]
      if (byte === QUOTE) {
        this.#skipString()
        continue
      }
      if (byte === OPEN_OBJECT || byte === OPEN_LIST) depth++
      else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) depth--
      else if (depth === 0) {
        this.#skipWord()
        return
      }
      this.#at++
    } while (depth > 0 && this.#at < this.#json.length)
  }

  #skipString(): void {
    this.#at++
    while (this.#at < this.#json.length && this.#json[this.#at] !== QUOTE) {
      this.#at += this.#json[this.#at] === BACKSLASH ? 2 : 1
    }
    this.#at++
  }

  /** A number, true, false or null. */
  #skipWord(): void {
    while (/[-+.\w]/.test(String.fromCharCode(this.#json[this.#at] ?? 0))) this.#at++
  }

  #skipBlanks(): void {
    while (isBlank(this.#json[this.#at])) this.#at++
  }
}

function isBlank(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}

/** The rests of the paths that lead through this key; an empty one has arrived at it. */
function further(paths: readonly FieldPath[], key: string): FieldPath[] {
  return paths.filter(([first]) => first === '*' || first === key).map((path) => path.slice(1))
}
