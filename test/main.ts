import { readdirSync, statSync } from 'node:fs'
import { resolve } from 'node:path'

const BUNDLE = 'build/bundle/main.js'

/**
 * The program that tests start. The bundle, which takes half the time to start, unless the compiler has written something since it
 * was made. Paths are relative to the clone, in which all tests run.
 */
export const MAIN: string = resolve(isBundleCurrent() ? BUNDLE : 'build/src/cli/main.js')

export function isBundleCurrent(): boolean {
  const bundled = statSync(BUNDLE, { throwIfNoEntry: false })?.mtimeMs ?? 0
  const compilations = readdirSync('build').filter((file) => file.startsWith('.tsbuildinfo'))
  return compilations.every((file) => statSync(`build/${file}`).mtimeMs <= bundled)
}
