import { inspect } from 'node:util'

const MASK = '[secret]'

/**
 * A value that must never be shown: it prints, serialises and inspects as a mask, so that a careless log line or
 * error message cannot leak it. Only `reveal` gives the text.
 */
export class Secret {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  reveal(): string {
    return this.#text
  }

  toString(): string {
    return MASK
  }

  toJSON(): string {
    return MASK
  }

  [inspect.custom](): string {
    return MASK
  }
}
