import { formatPath, type Path } from './finding.ts'
import { MISSING } from './schema/scalars.ts'
import { type Validated, validate } from './validate.ts'

/** What the outbox's commands go by: where it is, the routes, and of a target what it is and whether it is sent to. */
const NEEDED: readonly (readonly string[])[] = [
  ['outbox', 'path'],
  ['routes'],
  ['targets', '*', 'type'],
  ['targets', '*', 'ordered'],
  ['targets', '*', 'paused'],
]

/** Whether what stands here matters to nobody but the daemon. */
export function isForDaemonOnly(path: Path): boolean {
  return !NEEDED.some((needed) => needed.every((key, index) => key === '*' || key === path[index]))
}

/**
 * Validates a content in which the values at `missing` could not be had. An unusable text stands in for each; where no
 * text will do (a number, say), the default does. What has none is invalid.
 */
export function validateWithout(value: unknown, missing: readonly Path[]): Validated {
  const stoodIn = validate(withText(value, missing))
  const unfit = new Set(stoodIn.findings.map(({ path }) => formatPath(path)))
  const fit = missing.filter((path) => !unfit.has(formatPath(path)))
  return fit.length === missing.length ? stoodIn : validate(withText(value, fit))
}

function withText(value: unknown, paths: readonly Path[]): unknown {
  const copy = structuredClone(value)
  for (const path of paths) {
    const parent = path.slice(0, -1).reduce((node, key) => (node as Record<Path[number], unknown>)[key], copy)
    ;(parent as Record<Path[number], unknown>)[path.at(-1)!] = MISSING
  }
  return copy
}
