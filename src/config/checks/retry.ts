import type { Draft } from '../draft.ts'
import type { Finding, Path } from '../finding.ts'

/** As far as it is sound. */
type Policy = { readonly [Key in keyof Draft['retry']]: Draft['retry'][Key] | undefined }

/** Delays that contradict each other, in the global policy and in what each target makes of it. */
export function* checkRetry({ retry, targets, surroundings }: Draft): Iterable<Finding> {
  const isGiven = (path: Path) => surroundings.written(path) !== undefined
  yield* checkPolicy(retry, ['retry'], isGiven)
  for (const [name, target] of targets) {
    yield* checkPolicy({ ...retry, ...target.retry }, ['targets', name, 'retry'], isGiven)
  }
}

function* checkPolicy(policy: Policy, path: Path, isGiven: (path: Path) => boolean): Iterable<Finding> {
  const { initialDelay, maxDelay, giveUpAfter, maxAttempts } = policy
  /** A finding stands at a key that is in the file; where neither is, both are inherited and told about there. */
  const given = (...keys: string[]) => keys.map((key) => [...path, key]).find(isGiven)

  const delayPath = given('maxDelay', 'initialDelay')
  if (delayPath !== undefined && initialDelay !== undefined && maxDelay !== undefined && maxDelay < initialDelay) {
    yield { path: delayPath, message: 'maxDelay is shorter than initialDelay: make it the same or longer' }
  }
  const endPath = given('giveUpAfter', 'initialDelay')
  if (endPath === undefined || initialDelay === undefined || giveUpAfter === undefined) return
  if (giveUpAfter >= initialDelay || maxAttempts === 1) return
  const message =
    'giveUpAfter is shorter than initialDelay, so nothing is ever tried again: make it longer, or write maxAttempts: 1'
  yield { path: endPath, message, level: 'warning' }
}
