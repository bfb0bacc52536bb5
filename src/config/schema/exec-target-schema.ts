import * as z from 'zod'
import { attachable } from './attach-schema.ts'
import { pacing } from './pacing-schema.ts'
import { orReference, secretOf, text } from './scalars.ts'

const variableName = text({ problemWith: variableNameProblem })

function variableNameProblem(name: string): string | undefined {
  if (!/^[A-Za-z_]\w*$/.test(name))
    return 'is no environment variable name: use letters, digits and "_", no digit first'
  if (name === 'TRACEPARENT' || name === 'TRACESTATE') return 'is set by the relay itself: remove it'
  return name.startsWith('RELAY_') ? 'is set by the relay itself: names that start with RELAY_ are taken' : undefined
}

/** An argument or a value; may be empty. A zero byte would end it early. */
const anyText = z.string().refine((value) => !value.includes('\0'), 'has a zero byte in it, which cannot be passed on')

const ACCOUNT_FORM = 'must be a name or a number, such as relay or 1001'
const ACCOUNT = /^([A-Za-z_][A-Za-z0-9_.-]*\$?|\d{1,9})$/

/** A user or a group, by name or number. */
const account = z.union(
  [
    z.int().min(0, ACCOUNT_FORM).max(999_999_999, ACCOUNT_FORM).transform(String),
    z
      .string()
      .meta({ pattern: orReference(ACCOUNT.source) })
      .refine((value) => ACCOUNT.test(value), ACCOUNT_FORM),
  ],
  { error: () => ACCOUNT_FORM },
)

const COMMAND_FORM = 'a list of the program and its arguments (no shell is used), as in [./hooks/archive.sh, --json]'

export const execTargetSchema = z.strictObject({
  type: z.literal('exec').meta({ description: 'Run a program with the event on its standard input.' }),
  command: z
    .array(anyText, {
      error: ({ input }) =>
        Array.isArray(input) ? undefined : `${input === undefined ? 'is missing: write' : 'must be'} ${COMMAND_FORM}`,
    })
    .min(1, `must be ${COMMAND_FORM}`)
    .meta({
      description:
        'The program and its arguments; no shell. A program with a "/" in it is relative to the configuration file; ' +
        'any other is looked for in PATH.',
    }),
  env: z
    .record(variableName, anyText.transform(secretOf))
    .prefault({})
    .meta({ description: 'Environment variables to run it with.' }),
  passEnv: z.array(variableName).prefault([]).meta({
    description:
      "Names of the relay's own environment variables to pass on. Others are not, but PATH, HOME, LANG and TZ.",
  }),
  user: account.optional().meta({
    description:
      'The user to run it as, by name or number: with the group of that user and no others, and its HOME. Only where ' +
      'the relay is started as root.',
  }),
  group: account.optional().meta({ description: 'The group to run it with, where it is not that of user.' }),
  ...attachable,
  ...pacing({ timeout: '30s', concurrency: 2 }),
})
