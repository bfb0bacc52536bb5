import { inspect } from 'node:util'
import { RelayError } from './errors.ts'

export const MASK = '[secret]'

/**
 * Whether a text looks like a key. Some services want theirs where nobody has declared a secret (PagerDuty's
 * `routing_key`); what is a key and what a word nobody can know, but no word of a message is this long.
 */
export function looksLikeKey(text: string): boolean {
  return /^[^\s{}]{20,}$/.test(text)
}

/** What may be a key inside of a longer text. To tell in the pattern itself what is one would take a time that grows as the square. */
const LONG_WORD = /[A-Za-z0-9_+-]{20,}/g

/** Only letters and digits in one are taken for a key: names and paths of fields are long, too. */
function isKey(word: string): boolean {
  return /\d/.test(word) && /[A-Za-z]/.test(word)
}

/** What looks like a key in a text: it as a whole, or words in it, such as in the expressions of a template. */
export function keysWithin(text: string): string[] {
  return [...new Set([...(looksLikeKey(text) ? [text] : []), ...(text.match(LONG_WORD) ?? []).filter(isKey)])]
}

/** A text for people, without what looks like a key in it. Takes a time that is in proportion to its length. */
export function withoutKeys(text: string): string {
  return looksLikeKey(text) ? MASK : text.replace(LONG_WORD, (word) => (isKey(word) ? MASK : word))
}

/**
 * A value that must never be shown: it prints, serialises and inspects as a mask, so that a careless log line or
 * error message cannot leak it. Only `reveal` gives the text.
 */
export class Secret {
  readonly #text: string | undefined

  /** Undefined: a secret that there is, but that cannot be had here. Nothing can be done with it. */
  constructor(text: string | undefined) {
    this.#text = text
  }

  get isMissing(): boolean {
    return this.#text === undefined
  }

  /** Throws where it is missing, so that no stand-in is ever signed with or sent. */
  reveal(): string {
    if (this.#text === undefined) throw new RelayError('config_invalid', 'a secret is needed that cannot be had here')
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
