import { createHash } from 'node:crypto'
import { ProviderError } from './provider-error.ts'
import type { Requests } from './requests.ts'
import { resultTexts } from './result-texts.ts'
import { type FieldProblem, PAGE, parseAnswer, type Reader, unexpected } from './shapes.ts'

/** The bytes of an object as the provider wrote it, in one with what is read of it. */
export type WithText<T> = T & { readonly raw: Uint8Array }

/** A piece of a list. */
export interface Page<T> {
  readonly items: readonly T[]
  /** What could not be read, be it fields of items that are listed or whole items that are not. */
  readonly unreadable: readonly Unreadable[]
  /** Where the list goes on: path and query, to be given back as `after`; null at its end. */
  readonly next: string | null
  /** How many there are in the whole list, where the provider says so. */
  readonly total: number | null
}

export interface Unreadable extends FieldProblem {
  /** The item's place on its page. */
  readonly index: number
  /** A sentence that names the request, the item and the field. */
  readonly problem: string
}

/** Which list, and where in it to begin: at `after` of a page fetched before, or null at its beginning. */
export interface ListRequest {
  readonly name: string
  readonly query: string
  readonly after?: string | null | undefined
}

/**
 * The list cannot be followed to its end: there is no telling what its next page is, or its pages never end. Thrown after
 * the last page that could be read. A place in such a list is not worth keeping.
 */
export class BrokenList extends ProviderError {
  constructor(request: string, what: string) {
    super('provider_failed', `${request}: ${what}`, { repeat: 'never' })
    this.name = 'BrokenList'
  }
}

/** Pages in a row that bring nothing new, before a list is taken to be endless. Filtered lists may have some empty ones. */
const STALE_PAGES = 100
/** Pages of any list: ten million calls. */
const MOST_PAGES = 100_000

/**
 * The pages of a list along each page's `next` until there is none. Of a `next` only the query is used: gateways and
 * proxies leave another scheme, host or path in it, and the key must go nowhere but to the configured base URL. Throws
 * `BrokenList` after the last page that could be fetched.
 */
export async function* pagesOf<T extends object>(
  requests: Pick<Requests, 'send'>,
  list: ListRequest,
  read: Reader<T>,
  signal?: AbortSignal,
): AsyncGenerator<Page<WithText<T>>, void, undefined> {
  const { name, after } = list
  const request = `GET ${name}`
  const length = new ListLength(request)
  const seen = new Set<string>()
  let path: string | null = pathOf(list, '')
  if (after != null) path = nextPath(list, after)
  while (path !== null) {
    seen.add(path)
    const { body } = await requests.send({ method: 'GET', path, name }, signal)
    const { next, results, total } = parseAnswer(PAGE, body, request)
    const texts = resultTexts(body)
    const items: WithText<T>[] = []
    const unreadable: Unreadable[] = []
    for (const [index, value] of results.entries()) {
      const { value: item, problems } = read(value)
      for (const problem of problems) unreadable.push(unreadableAt(request, index, problem))
      if (item !== undefined) items.push({ ...item, raw: texts[index]! })
    }
    let broken: BrokenList | undefined
    try {
      length.add(texts, total)
      path = nextPath(list, next)
      if (path === null) length.assertWhole(next, after == null)
      else if (seen.has(path)) throw new BrokenList(request, 'the pages go in a circle')
    } catch (error) {
      if (!(error instanceof BrokenList)) throw error
      broken = error
      path = null
    }
    yield { items, unreadable, next: path, total }
    if (broken !== undefined) throw broken
  }
}

function unreadableAt(request: string, index: number, { field, ...rest }: FieldProblem): Unreadable {
  const place = `results.${index}${field === '' ? '' : `.${field}`}`
  return { ...rest, field, index, problem: `${request}: ${place}: ${rest.message}` }
}

/** The path of the page that `next` is about: a URL of any origin, a path, a query or the bare cursor. Null: none. */
function nextPath(list: ListRequest, next: unknown): string | null {
  const text = typeof next === 'string' ? next.trim() : next
  if (text === null || text === undefined || text === '') return null
  const query = typeof text === 'string' ? queryOf(text) : undefined
  // What is there is not told: it may hold anything.
  if (query === undefined)
    throw new BrokenList(`GET ${list.name}`, 'next has no cursor in it, so the rest is not listed')
  return pathOf(list, query)
}

/** The query of a URL, a path or a query alone; a text that is none of these is a cursor. */
function queryOf(text: string): string | undefined {
  const [whole] = text.split('#', 1) as [string]
  const at = whole.indexOf('?')
  if (at !== -1) return whole.slice(at + 1) || undefined
  if (/^([a-z][a-z0-9+.-]*:|\/)/i.test(whole)) return undefined
  if (/^cursor=./.test(whole) || /^[\w.-]+=[^&]*&/.test(whole)) return whole
  return `cursor=${encodeURIComponent(text)}`
}

/** Parameters that a page names take the place of ours, so that filters hold also where it names the cursor alone. */
function pathOf({ name, query }: ListRequest, more: string): string {
  const merged = new URLSearchParams(query)
  const named = new URLSearchParams(more)
  for (const key of new Set(named.keys())) {
    merged.delete(key)
    for (const value of named.getAll(key)) merged.append(key, value)
  }
  const text = merged.toString()
  return text === '' ? name : `${name}?${text}`
}

/** Notices a list that has no end, or that ends too early. */
class ListLength {
  readonly #request: string
  readonly #seen = new Set<string>()
  #pages = 0
  #items = 0
  #stale = 0
  #total: number | null = null

  constructor(request: string) {
    this.#request = request
  }

  /** Throws `BrokenList` where what came is no progress. */
  add(texts: readonly Uint8Array[], total: number | null): void {
    this.#pages += 1
    this.#items += texts.length
    this.#total = total
    // An item that moves to the next page while the list is read is no repetition of the page.
    const page = hashOf(texts)
    this.#stale = this.#seen.has(page) ? this.#stale + 1 : 0
    this.#seen.add(page)
    const tooMany = this.#pages > MOST_PAGES || (total !== null && this.#items > 2 * total + 10_000)
    if (tooMany || this.#stale > STALE_PAGES) throw new BrokenList(this.#request, 'the pages do not end')
  }

  /** An end that is not written as null may be a `next` that got lost on the way: the total tells. */
  assertWhole(next: unknown, fromStart: boolean): void {
    if (next === null || !fromStart || this.#total === null || this.#items >= this.#total) return
    throw new BrokenList(this.#request, `no next page after ${this.#items} of ${this.#total}`)
  }
}

function hashOf(texts: readonly Uint8Array[]): string {
  const hash = createHash('sha256')
  for (const text of texts) hash.update(text)
  return hash.digest('base64')
}

/** All items of a list. Throws `ProviderError` where one cannot be read. */
export async function allOf<T>(pages: AsyncIterable<Page<T>>): Promise<T[]> {
  const found: T[] = []
  for await (const page of pages) found.push(...readable(page))
  return found
}

/** The items of a page, for those who need each of them. Throws `ProviderError` where one cannot be read. */
export function readable<T>({ items, unreadable }: Page<T>): readonly T[] {
  const [first] = unreadable
  if (first === undefined) return items
  const [request, ...problem] = first.problem.split(': ')
  throw unexpected(request!, problem.join(': '))
}
