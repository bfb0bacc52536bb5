import * as z from 'zod'
import { Secret } from '../../domain/secret.ts'
import { requiredAs } from '../plain-words.ts'

/** Text that is not empty, and about which `problemWith` has nothing to say. It must not quote what it is given. */
export function text(options: { example?: string; problemWith?: (text: string) => string | undefined } = {}) {
  const { example, problemWith } = options
  const base = example === undefined ? z.string() : z.string({ error: requiredAs(example) })
  return base.min(1).superRefine((value, context) => {
    const problem = value === '' || value === MISSING ? undefined : problemWith?.(value)
    if (problem !== undefined) context.addIssue(problem)
  })
}

/** Text that is never shown again. */
export function secret(options: Parameters<typeof text>[0] = {}) {
  return text(options).transform(secretOf)
}

/** What stands for text that cannot be had here: a noncharacter, which nobody writes, so that it is told from all else. */
export const MISSING = '\ufffemissing\ufffe'

export function secretOf(value: string): Secret {
  return new Secret(value === MISSING ? undefined : value)
}

/** A whole number; text with one in it is fine too, because `${VAR}` gives text. */
export function integer(min: number, max: number) {
  return numeric(z.int(), `a whole number from ${min} to ${max}`, min, max)
}

/** A number, decimals allowed; text with one in it is fine too. */
export function decimal(min: number, max: number) {
  return numeric(z.number(), `a number from ${min} to ${max}`, min, max)
}

function numeric(kind: z.ZodNumber, wanted: string, min: number, max: number) {
  const error = ({ input }: { input?: unknown }) => {
    return input === undefined ? `is missing: write ${wanted}` : `must be ${wanted}`
  }
  // A union hands on the issue of an option that comes close, so the options have to say it too.
  const number = kind.min(min, `must be ${wanted}`).max(max, `must be ${wanted}`)
  const digits = /^-?\d+(\.\d+)?$/
  const written = z
    .string()
    .meta({ pattern: orReference(digits.source) })
    .refine((value) => digits.test(value))
    .transform(Number)
    .pipe(number)
  return z.union([number, written], { error })
}

/** true or false; the text of either is fine too, because `${VAR}` gives text. */
export function flag() {
  const written = z
    .string()
    .meta({ pattern: orReference('^(true|false)$') })
    .refine((value) => value === 'true' || value === 'false')
    .transform((value) => value === 'true')
  return z.union([z.boolean(), written], { error: ({ input }) => flagProblem(input) })
}

function flagProblem(input: unknown): string {
  const isOld = typeof input === 'string' && /^(y|yes|on|n|no|off)$/i.test(input)
  return `must be true or false${isOld ? ', which is how YAML 1.2 writes it' : ''}`
}

/** A list that may also be written as its only element. */
export function listOrOne<Schema extends z.ZodArray>(list: Schema) {
  return z.preprocess((value) => (typeof value === 'string' ? [value] : value), list)
}

/** Names of units and what one is, the largest first. */
type Units = readonly (readonly [names: string, one: number])[]

const DURATION_UNITS: Units = [
  ['w week weeks', 604_800_000],
  ['d day days', 86_400_000],
  ['h hr hrs hour hours', 3_600_000],
  ['m min mins minute minutes', 60_000],
  ['s sec secs second seconds', 1_000],
  ['ms millisecond milliseconds', 1],
]
const SIZE_UNITS: Units = [
  ['gb GB GiB', 1024 ** 3],
  ['mb MB MiB', 1024 ** 2],
  ['kb KB KiB', 1024],
  ['b B', 1],
]

/** A duration such as `90s`, `1.5h`, `1h30m` or `14 days`, from `min` to `max`; milliseconds in the output. */
export function duration(min: string, max: string) {
  return quantity({
    kind: 'a duration',
    units: DURATION_UNITS,
    usual: 's',
    examples: '500ms, 60s, 5m, 1h30m or 14d',
    min,
    max,
  })
}

/** A size such as `5mb` (1024-based), from `min` to `max`; bytes in the output. */
export function size(min: string, max: string) {
  return quantity({ kind: 'a size', units: SIZE_UNITS, usual: 'kb', examples: '512kb, 5mb or 1gb', min, max })
}

interface Quantity {
  readonly kind: string
  readonly units: Units
  /** The unit to propose where one is missing. */
  readonly usual: string
  readonly examples: string
  readonly min: string
  readonly max: string
}

function quantity({ kind, units, usual, examples, min, max }: Quantity) {
  const number = '\\d+(\\.\\d+)?'
  const factors = new Map(units.flatMap(([names, one]) => names.split(' ').map((name) => [name, one] as const)))
  const part = `${number} ?(${[...factors.keys()].join('|')})`
  const pattern = `^(${part} ?)+$`
  const parse = (written: string): number | undefined => {
    if (!new RegExp(pattern).test(written)) return undefined
    const parts = [...written.matchAll(new RegExp(`${part}(?![A-Za-z])`, 'g'))].map(([text, , unit]) => {
      return { amount: Number.parseFloat(text), one: factors.get(unit!)! }
    })
    // 1h30m, but not 30m1h.
    if (parts.some(({ one }, index) => index > 0 && one >= parts[index - 1]!.one)) return undefined
    return Math.round(parts.reduce((sum, { amount, one }) => sum + amount * one, 0))
  }
  const [least, most] = [parse(min)!, parse(max)!]
  const error = ({ input }: { input?: unknown }) => {
    if (input === undefined) return `is missing: write ${kind}, such as ${examples}`
    return Number.isFinite(input) ? `needs a unit: write ${input}${usual}, not ${input}` : undefined
  }
  return z
    .string({ error })
    .meta({ pattern: orReference(pattern) })
    .transform((written, context) => {
      const value = parse(written.trim())
      if (value !== undefined && value >= least && value <= most) return value
      const unitless = new RegExp(`^${number}$`).test(written)
      if (value !== undefined) context.addIssue(`must be from ${min} to ${max}`)
      else context.addIssue(unitless ? `needs a unit: write ${examples}` : `must be ${kind}, such as ${examples}`)
      return z.NEVER
    })
}

/** Text with a `${...}` reference in it, for editors: what it will be is not known before the file is loaded. */
export const REFERENCE_PATTERN = '\\$\\{'

/** The pattern, for editors, of text that may be had from a reference instead. */
export function orReference(pattern: string): string {
  return `${pattern}|${REFERENCE_PATTERN}`
}

/** The name of a source or a target. */
export const name = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/,
    'is no name: use 1 to 64 letters, digits, "-" and "_", with a letter or digit first',
  )
