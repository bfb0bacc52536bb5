const [QUOTE, COLON, BACKSLASH, COMMA] = [0x22, 0x3a, 0x5c, 0x2c]
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d]

/**
 * A place in the bytes of a JSON text, and the ways to go on from it. For what has to find or cut a part of a text
 * without parsing it and writing it again, which would round integers beyond 2^53, drop all but the last of duplicate
 * keys and write `1.0` as `1`.
 *
 * Only for what `JSON.parse` takes: of any other text nothing is promised but an end. Bytes that are no UTF-8 do not
 * confuse it: JSON's own characters are ASCII, and a decoder never makes these out of others.
 */
export class JsonCursor {
  readonly #json: Uint8Array
  at = 0

  constructor(json: Uint8Array) {
    this.#json = json
  }

  get byte(): number | undefined {
    return this.#json[this.at]
  }

  get ended(): boolean {
    return this.at >= this.#json.length
  }

  skipBlanks(): void {
    while (isBlank(this.byte)) this.at++
  }

  /** Moves past the value that starts here. Not recursive: a text may be nested without end. */
  skipValue(): void {
    let depth = 0
    do {
      const { byte } = this
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
      this.at++
    } while (depth > 0 && !this.ended)
  }

  /** Moves to the value of the member whose key starts here, and gives the key with its escapes resolved. */
  takeKey(): string {
    const start = this.at
    this.#skipString()
    const text = Buffer.from(this.#json.buffer, this.#json.byteOffset + start, this.at - start).toString('utf8')
    this.skipBlanks()
    if (this.byte === COLON) this.at++
    this.skipBlanks()
    return JSON.parse(text) as string
  }

  /** The keys of the object that the text is, in their order, each as often as it is there; none of any other value. */
  *keys(): Generator<string> {
    this.skipBlanks()
    if (this.byte !== OPEN_OBJECT) return
    this.at++
    this.skipBlanks()
    while (!this.ended && this.byte !== CLOSE_OBJECT) {
      yield this.takeKey()
      this.skipValue()
      this.skipBlanks()
      if (this.byte === COMMA) this.at++
      this.skipBlanks()
    }
  }

  #skipString(): void {
    this.at++
    while (!this.ended && this.byte !== QUOTE) this.at += this.byte === BACKSLASH ? 2 : 1
    this.at++
  }

  /** A number, true, false or null. */
  #skipWord(): void {
    while (/[-+.\w]/.test(String.fromCharCode(this.byte ?? 0))) this.at++
  }
}

function isBlank(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}
