/** Whether a path begins with `~`, which is a directory of this name to everything but a shell. */
export function isHomePath(path: string): boolean {
  return /^~[^/]*(\/|$)/.test(path)
}

/** Follows the name of a key. */
export const HOME_PROBLEM = 'starts with "~", which only a shell replaces: write the whole path, as in /home/relay'

/** For the schema of a path. */
export function pathProblem(path: string): string | undefined {
  return isHomePath(path) ? HOME_PROBLEM : undefined
}
