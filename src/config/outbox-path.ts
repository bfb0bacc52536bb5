import { resolve } from 'node:path'
import { parseDocument } from 'yaml'
import { readSmallFile } from '../safe-file.ts'

/** `outbox.path` where a configuration does not name one. */
const DEFAULT_PATH = './data/relay.db'

/**
 * Where the outbox is most likely to be of a configuration that is not valid, as an absolute path: as the file says if that much of it
 * can be read, else at the default place.
 */
export function likelyOutboxPath(file: string, env: NodeJS.ProcessEnv): { path: string; isDefault: boolean } {
  const named = resolved(pathIn(textOf(file)), env)
  return { path: resolve(file, '..', named ?? DEFAULT_PATH), isDefault: named === undefined }
}

function textOf(file: string): string {
  try {
    return readSmallFile(file).text
  } catch {
    return ''
  }
}

function pathIn(text: string): string | undefined {
  const inBlock = /^outbox:[ \t]*(?:#.*)?\n(?:[ \t]+.*\n|[ \t]*(?:#.*)?\n)*?[ \t]+path:[ \t]*(.+)$/m.exec(text)?.[1]
  // One line is valid YAML by itself where the rest of the file is not.
  const line = inBlock ?? /^outbox:[ \t]*\{.*?\bpath:[ \t]*([^,}]+)/m.exec(text)?.[1]
  if (line === undefined) return undefined
  const value: unknown = parseDocument(line, { logLevel: 'silent' }).toJS()
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** With references to variables replaced; undefined where one cannot be. */
function resolved(path: string | undefined, env: NodeJS.ProcessEnv): string | undefined {
  const whole = path?.replace(/\$\{(\w+)\}/g, (reference, name) => env[name] ?? reference)
  return whole?.includes('${') ? undefined : whole
}
