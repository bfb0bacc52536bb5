import { resolve } from 'node:path'
import type { Draft } from '../draft.ts'
import { findExecutable, permissionAdvice } from '../executable.ts'
import type { Finding } from '../finding.ts'
import { HOME_PROBLEM, isHomePath } from '../home-path.ts'
import { hasReference } from '../references.ts'
import { startProblem } from '../shebang.ts'

/** Programs that are not there or cannot be run. */
export function* checkPrograms(draft: Draft): Iterable<Finding> {
  for (const [name, target] of draft.targets) {
    if (target.type !== 'exec' || target.command?.[0] === undefined) continue
    const path = target.env?.PATH
    const searchPath = path === undefined || path.isMissing ? draft.surroundings.env.PATH : path.reveal()
    yield* checkProgram(target.command[0], name, searchPath, draft)
  }
}

/** Variables given twice, and those of which a program would get something else than is set. */
export function* checkVariables({ targets, surroundings }: Draft): Iterable<Finding> {
  for (const [name, target] of targets) {
    if (target.type !== 'exec') continue
    for (const [index, variable] of (target.passEnv ?? []).entries()) {
      const path = ['targets', name, 'passEnv', index]
      if (Object.hasOwn(target.env ?? {}, variable)) {
        yield { path, message: 'is in env too: remove it from one of the two' }
      } else if (surroundings.env[variable]?.includes('\ufffd')) {
        // Node has replaced what is not UTF-8.
        yield { path, message: `${variable} is not UTF-8 text: write it in UTF-8 where it is set` }
      }
    }
  }
}

function* checkProgram(
  program: string,
  target: string,
  searchPath: string | undefined,
  { surroundings }: Draft,
): Iterable<Finding> {
  const { directory, env, written } = surroundings
  const path = ['targets', target, 'command', 0]
  const found = findExecutable(program, directory, env.PATH)
  const shown = written(path)
  if ('path' in found) {
    const problem = startProblem(found.path, directory, searchPath)
    if (problem !== undefined) yield { path, stops: 'target', ...problem, message: `${shown} ${problem.message}` }
    return
  }
  // The directory says where was looked, but only together with a name that may be shown.
  const where = program.startsWith('/') || hasReference(shown) ? '' : ` in ${directory}`
  if (isHomePath(program)) yield { path, message: `${shown} ${HOME_PROBLEM}` }
  else if (found.missing === 'permission')
    yield {
      path,
      stops: 'target',
      message: `${shown} cannot be executed: ${permissionAdvice(resolve(directory, program))}`,
    }
  else if (found.missing === 'directory')
    yield { path, stops: 'target', message: `${shown} is a directory: name the program in it` }
  else if (program === '') yield { path, message: 'must not be empty: write the program to run' }
  else if (!program.includes('/'))
    yield {
      path,
      stops: 'target',
      message: `${shown} is not in PATH: install it, or write its path, as in ./hooks/archive.sh`,
    }
  else
    yield {
      path,
      stops: 'target',
      message: `there is no file ${shown}${where}: check the path, which is relative to the configuration file`,
    }
}
