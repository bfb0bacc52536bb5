import type { Secret } from '../domain/secret.ts'

/** Parses a target's URL. The URL parser's own error is not passed on: it carries its whole input. */
export function parseTargetUrl(name: string, url: Secret): URL {
  const text = url.reveal()
  if (!URL.canParse(text)) throw new Error(`the URL of target "${name}" is no URL`)
  return new URL(text)
}
