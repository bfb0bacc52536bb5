import type { z } from 'zod'
import { didYouMean } from './suggestion.ts'

/**
 * Zod's error map of last resort: what is wrong in the operator's words. A schema that can say it better has its own
 * `error`. Values are never quoted: by now they may hold what a `${...}` reference stood for.
 */
export const plainWords: z.core.$ZodErrorMap = (issue) => {
  switch (issue.code) {
    case 'invalid_type':
      return wrongType(issue.expected, issue.input)
    case 'invalid_value':
      return notOneOf(issue.values.map(String), issue.input)
    case 'invalid_union':
      return wrongVariant(issue)
    case 'invalid_key':
      return issue.issues[0]?.message
    case 'too_small':
      if (issue.origin === 'string') return 'must not be empty'
      if (issue.origin === 'array' || issue.origin === 'record') return 'has nothing in it: write at least one entry'
      return undefined
    default:
      return 'is not valid here: see config/relay.schema.json'
  }
}

/** What stands in `value`, as an operator would call it. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a mapping'
  if (typeof value === 'string') return 'text'
  return typeof value === 'boolean' ? 'true or false' : 'a number'
}

/** An `error` for a key that has to be there: says what to write, and leaves all else to `plainWords`. */
export function requiredAs(example: string) {
  return ({ input }: { input?: unknown }): string | undefined => {
    return input === undefined ? `is missing: write ${example}` : undefined
  }
}

const WANTED: Readonly<Record<string, string>> = {
  string: 'text',
  object: 'a mapping ("key: value" lines)',
  record: 'a mapping ("name: ..." lines)',
  array: 'a list, such as [one, two]',
}

function wrongType(expected: string, input: unknown): string {
  if (input === undefined) return 'is missing'
  if (input === null) return 'has no value: write one, indent what belongs to it, or remove the key'
  const quote = expected === 'string' && typeof input !== 'object' ? ': put it into quotes' : ''
  return `must be ${WANTED[expected] ?? expected}, not ${kindOf(input)}${quote}`
}

function notOneOf(allowed: readonly string[], input: unknown): string {
  const wanted = allowed.length === 1 ? `${allowed[0]}` : `one of ${allowed.join(', ')}`
  if (input === undefined || input === null) return `is missing: write ${wanted}`
  return `must be ${wanted}${typeof input === 'string' ? didYouMean(input, allowed) : ''}`
}

function wrongVariant(issue: z.core.$ZodRawIssue<z.core.$ZodIssueInvalidUnion>): string {
  const { discriminator, options } = issue as { discriminator?: string; options?: readonly unknown[] }
  if (discriminator === undefined || options === undefined) return 'has none of the allowed forms'
  return notOneOf(options.map(String), (issue.input as Record<string, unknown>)[discriminator])
}
