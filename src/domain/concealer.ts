import { inLiteral } from './expression-literal.ts'
import { MASK, type Secret } from './secret.ts'

/** Shorter pieces are words that stand in any text (`Bearer`, `true`), and no secret worth the name. */
const LEAST_LENGTH = 8
/** What a reference stands for is hidden whatever it looks like, unless it is so short that hiding it would spoil any text. */
const LEAST_REFERENCED = 4
/** Letters and digits in a row, inside of a secret, that are its own: they stay as they are in any way of writing it. */
const LEAST_CORE = 16
/** Shorter texts are whole. Longer ones may have been cut in the middle of a secret, at either end. */
const SHORTEST_CUT = 200

/** What takes secrets out of a text. */
export type Conceal = (text: string) => string

/**
 * Takes these secrets out of a text, whole and word by word, also where they are written as services and programs write
 * what they repeat: with the escapes of JSON, URLs and HTML, and in base64. Of a secret that begins or ends with the text,
 * a piece is enough. What is shorter than eight characters is left; of `referenced`, which stand for references and are
 * texts and no templates, what is shorter than four, and what is shorter than eight where a letter or digit is next to it.
 */
export function concealer(secrets: readonly Secret[], referenced: readonly Secret[] = []): Conceal {
  const textsOf = (given: readonly Secret[]) => given.flatMap((each) => (each.isMissing ? [] : [each.reveal()]))
  const values = textsOf(referenced)
  const whole = values.flatMap((text) => [text, text.trim()]).filter(({ length }) => length >= LEAST_REFERENCED)
  const short = shortValues(whole.filter(({ length }) => length < LEAST_LENGTH))
  const pieces = [
    ...whole.filter(({ length }) => length >= LEAST_LENGTH),
    ...[...textsOf(secrets), ...values].flatMap(piecesOf),
  ]
  const forms = [...new Set(pieces.flatMap(formsOf))]
    // The longest first, or of one that begins like another its end would stay.
    .sort((a, b) => b.length - a.length)
  return (text) => {
    const whole = forms.reduce((told, form) => (told.includes(form) ? told.replaceAll(form, MASK) : told), text)
    const rest = short === null ? whole : whole.replace(short, MASK)
    return text.length < SHORTEST_CUT ? rest : withoutCutEnds(rest, forms)
  }
}

/** An escape before a value is not a letter or digit next to it. */
const BEFORE = '(?:(?<![A-Za-z0-9]|%[0-9A-Fa-f]?)|(?<=%[0-9A-Fa-f]{2}|\\\\[bfnrt]|\\\\u[0-9A-Fa-f]{4}))'

/** Matches short values that are not part of a word: `prod` is not one of `product`. Null where there are none. */
function shortValues(texts: readonly string[]): RegExp | null {
  // Words of JSON, which stand in nearly every answer.
  const values = texts.filter((text) => !/^(true|false|null)$/.test(text))
  if (values.length === 0) return null
  const forms = [...new Set(values.flatMap(writtenForms))].sort((a, b) => b.length - a.length)
  const escaped = forms.map((form) =>
    form.replace(/[^\w]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
  )
  return new RegExp(`${BEFORE}(?:${escaped.join('|')})(?![A-Za-z0-9])`, 'g')
}

/** `Bearer abc`, whole and word by word; of a template the words around its expressions; of a URL what it may hide. */
function piecesOf(text: string): string[] {
  const words = text.split(/\{\{.*?\}\}|\s+/)
  const cores = text.match(/[A-Za-z0-9]+/g) ?? []
  return [
    ...[text, ...words, ...basicPair(text), ...urlPieces(text)].filter((piece) => piece.length >= LEAST_LENGTH),
    ...cores.filter((core) => core.length >= LEAST_CORE),
  ]
}

/** `Basic …` is only a way of writing a user and a password. */
function basicPair(text: string): string[] {
  const [, base64] = /^Basic\s+([A-Za-z0-9+/]+=*)$/i.exec(text) ?? []
  if (base64 === undefined) return []
  const pair = Buffer.from(base64, 'base64').toString()
  return [pair, pair.slice(pair.indexOf(':') + 1)]
}

/** What paths are made of: `hooks`, `call-events`, `calls.json`. */
const PLAIN_WORDS = /^[a-z]+([-_.][a-z]+)*$/

/** Services that do not know a path say so with the path; many have their keys in it, or in the query. */
function urlPieces(text: string): string[] {
  if (!/^[a-z+]+:\/\//i.test(text) || !URL.canParse(text)) return []
  const { pathname, search, username, password } = new URL(text)
  const values = [...new URL(text).searchParams.values(), ...search.slice(1).split(/[&=]/)]
  const parts = pathname.split('/').filter((part) => !PLAIN_WORDS.test(part))
  const keys = [...values, ...parts, username, password]
  return [...(search === '' ? [] : [`${pathname}${search}`]), ...keys, ...keys.map(decoded)]
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** A piece in the ways in which it may be written; most are the same for most pieces. */
function formsOf(piece: string): string[] {
  return [...writtenForms(piece), ...inBase64(piece)]
}

function writtenForms(piece: string): string[] {
  const json = inJson(piece)
  const uri = encodeURIComponent(piece)
  return [
    piece,
    json,
    inJson(json),
    inLiteral(piece),
    uri,
    encodeURIComponent(json),
    uri.replace(/%[0-9A-F]{2}/g, (byte) => byte.toLowerCase()),
    new URLSearchParams([['', piece]]).toString().slice(1),
    piece.replace(/[&<>"']/g, (character) => HTML[character]!),
    piece.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`),
  ]
}

const HTML: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

function inJson(text: string): string {
  return JSON.stringify(text).slice(1, -1)
}

/** What of it is the same whatever stands beside it, for each of the three places at which it can begin. */
function inBase64(piece: string): string[] {
  return [0, 1, 2]
    .map((before) => {
      const bytes = Buffer.concat([Buffer.alloc(before), Buffer.from(piece)])
      const whole = bytes.subarray(0, bytes.length - (bytes.length % 3)).toString('base64')
      return whole.slice(before === 0 ? 0 : 4)
    })
    .filter((base64) => base64.length >= LEAST_LENGTH)
}

function withoutCutEnds(text: string, forms: readonly string[]): string {
  const atStart = Math.max(0, ...forms.map((form) => endAtStart(text, form)))
  const atEnd = Math.max(0, ...forms.map((form) => startAtEnd(text, form)))
  const rest = atEnd === 0 ? text : `${text.slice(0, -atEnd)}${MASK}`
  return atStart === 0 ? rest : `${MASK}${rest.slice(atStart)}`
}

/** How much of the end of a form the text begins with; 0: not enough. */
function endAtStart(text: string, form: string): number {
  const head = text.slice(0, form.length - 1)
  const last = form.slice(-LEAST_LENGTH)
  for (let at = head.lastIndexOf(last); at >= 0; at = at === 0 ? -1 : head.lastIndexOf(last, at - 1)) {
    const length = at + LEAST_LENGTH
    if (form.endsWith(head.slice(0, length))) return length
  }
  return 0
}

/** How much of the start of a form the text ends with; 0: not enough. */
function startAtEnd(text: string, form: string): number {
  const tail = text.slice(-(form.length - 1))
  const first = form.slice(0, LEAST_LENGTH)
  for (let at = tail.indexOf(first); at >= 0; at = tail.indexOf(first, at + 1)) {
    if (form.startsWith(tail.slice(at))) return tail.length - at
  }
  return 0
}
