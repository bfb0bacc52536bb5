import type { z } from 'zod'
import { ProviderError } from './provider-error.ts'
import type { Requests } from './requests.ts'
import { resultTexts } from './result-texts.ts'
import { PAGE, parseAnswer, shapeOf, unexpected } from './shapes.ts'

/** The bytes of an object as the provider wrote it, in one with what is read of it. */
export type WithText<T> = T & { readonly raw: Uint8Array }

/** A piece of a list. */
export interface Page<T> {
  readonly items: readonly T[]
  /** Why each item that is not among them could not be read. */
  readonly unreadable: readonly string[]
  /** Where the list goes on: path and query, to be given back as `after`; null at its end. */
  readonly next: string | null
  /** How many there are in the whole list, where the provider says so. */
  readonly total: number | null
}

/** Which list, and where in it to begin: at `after` of a page fetched before, or null at its beginning. */
export interface ListRequest {
  readonly name: string
  readonly query: string
  readonly after?: string | null | undefined
}

/**
 * The pages of a list along each page's `next` until there is none. What is asked for next is only asked of
 * the origin we are configured with, for the key goes along; a `next` that was there before would never end.
 */
export async function* pagesOf<T extends object>(
  requests: Requests,
  { name, query, after }: ListRequest,
  shape: z.ZodType<T>,
  signal?: AbortSignal,
): AsyncGenerator<Page<WithText<T>>, void, undefined> {
  const request = `GET ${name}`
  const seen = new Set<string>()
  let path: string | null = after ?? `${name}${query === '' ? '' : `?${query}`}`
  while (path !== null) {
    if (seen.has(path))
      throw new ProviderError('provider_failed', `${request}: the pages go in a circle`, { repeat: 'never' })
    seen.add(path)
    const { body } = await requests.send({ method: 'GET', path, name }, signal)
    const { next, results, total } = parseAnswer(PAGE, body, request)
    const texts = resultTexts(body)
    path = next === null ? null : pathOf(next, requests.base, request)
    const items: WithText<T>[] = []
    const unreadable: string[] = []
    for (const [index, value] of results.entries()) {
      const read = shapeOf(shape, value)
      if ('problem' in read) unreadable.push(`${request}: results.${index}.${read.problem}`)
      else items.push({ ...read.value, raw: texts[index]! })
    }
    yield { items, unreadable, next: path, total }
  }
}

function pathOf(next: string, base: URL, request: string): string {
  const url = URL.canParse(next, base.href) ? new URL(next, base.href) : undefined
  if (url?.origin === base.origin) return `${url.pathname}${url.search}`
  // Of the other URL only its origin is told: the rest is not ours to know.
  const elsewhere = url === undefined ? 'no URL' : url.origin
  throw new ProviderError(
    'provider_refused',
    `${request}: the next page is at ${elsewhere}, not at ${base.origin}, and is not followed: check the base URL`,
    { repeat: 'never' },
  )
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
  const [request, ...problem] = first.split(': ')
  throw unexpected(request!, problem.join(': '))
}
