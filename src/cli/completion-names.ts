import { join } from 'node:path'
import { parseYaml } from '../config/yaml-document.ts'
import { readSmallFile } from '../safe-file.ts'
import { configFile } from './config-file.ts'
import { writeOut } from './output.ts'

/** Names without anything that bash would expand: it does so with the words to choose from. */
const PLAIN = /^[\w-]+$/

/**
 * Prints the names of the configured targets or sources, one a line, for a command line that is being typed. Prints nothing where
 * the configuration cannot be read.
 */
export function printNames([section = '', ...words]: readonly string[]): void {
  for (const each of namesIn(section, words)) if (PLAIN.test(each)) writeOut(`${each}\n`)
}

function namesIn(section: string, words: readonly string[]): string[] {
  try {
    const value = parseYaml(readSmallFile(configFile(fileIn(words))).text).value as Record<string, object> | null
    return Object.keys(value?.[section] ?? {})
  } catch {
    return []
  }
}

/** The value of `--config` among the words as a shell has split them: bash does so at `=`. */
function fileIn(words: readonly string[]): string | undefined {
  const at = words.findIndex((word) => /^(-c|--config)(=|$)/.test(word))
  if (at === -1) return undefined
  const [file] = [words[at]!.replace(/^[^=]*=?/, ''), ...words.slice(at + 1)].filter(
    (word) => !['', '='].includes(word),
  )
  return file?.replace(/^~(?=\/)/, () => join(process.env.HOME ?? '~', '.'))
}
