import type { Secret } from '../domain/secret.ts'
import { USER_AGENT } from './user-agent.ts'

export interface ConfiguredHeaders {
  /** Name, value, …, the same in every request. */
  readonly headers: readonly string[]
  readonly templates: Readonly<Record<string, Secret>>
  /** A configured one, which wins; filled in or not. */
  readonly contentType: string | null
}

/** Divides the configured headers of a target into fixed ones, the user agent among them, and templates. */
export function configuredHeaders(configured: Readonly<Record<string, Secret>>): ConfiguredHeaders {
  const entries = Object.entries(configured)
  const given = (wanted: string) => entries.find(([name]) => name.toLowerCase() === wanted)?.[1].reveal()
  const [templates, fixed] = [true, false].map((wanted) =>
    entries.filter(([, value]) => value.reveal().includes('{{') === wanted),
  ) as [typeof entries, typeof entries]
  const headers = fixed.flatMap(([name, value]) => [name, value.reveal()])
  if (given('user-agent') === undefined) headers.push('user-agent', USER_AGENT)
  return { headers, templates: Object.fromEntries(templates), contentType: given('content-type') ?? null }
}
