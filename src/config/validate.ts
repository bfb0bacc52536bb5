import * as z from 'zod'
import type { Finding } from './finding.ts'
import { plainWords } from './plain-words.ts'
import { type RelayFile, schemaFor } from './schema.ts'
import { didYouMean } from './suggestion.ts'

/** The content if it has the declared form; the findings are empty exactly then. */
export interface Validated {
  readonly content: RelayFile | undefined
  readonly findings: readonly Finding[]
}

/** Holds the file's content, references resolved, against the declaration. */
export function validate(value: unknown): Validated {
  const parsed = schemaFor(value).safeParse(value, { error: errorMap })
  return parsed.success
    ? { content: parsed.data as RelayFile, findings: [] }
    : { content: undefined, findings: parsed.error.issues.flatMap(findingsOf) }
}

const SEPARATOR = ', '

/** Zod tells several unknown keys in one issue; its message is used to carry the allowed ones to `findingsOf`. */
const errorMap: z.core.$ZodErrorMap = (issue) => {
  return issue.code === 'unrecognized_keys' ? allowedKeys(issue.inst).join(SEPARATOR) : plainWords(issue)
}

function allowedKeys(schema: unknown): string[] {
  if (!(schema instanceof z.ZodObject)) return []
  const entries = Object.entries<z.ZodType>(schema.shape)
  return entries
    .filter(([, field]) => !(field instanceof z.ZodOptional && field.unwrap() instanceof z.ZodNever))
    .map(([key]) => key)
}

function findingsOf(issue: z.core.$ZodIssue): Finding[] {
  const path = issue.path.map((segment) => (typeof segment === 'number' ? segment : String(segment)))
  if (issue.code !== 'unrecognized_keys') {
    return [{ path, message: issue.message, ...(issue.code === 'invalid_key' && { at: 'key' as const }) }]
  }
  return issue.keys.map((key) => {
    const near = didYouMean(key, issue.message.split(SEPARATOR))
    return {
      path: [...path, key],
      message: `is not a key known here${near || `: there are ${issue.message}`}`,
      at: 'key',
    }
  })
}
