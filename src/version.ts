import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The folder of the package. The same from build/src and from build/bundle. */
export const PACKAGE_ROOT: string = fileURLToPath(new URL('../..', import.meta.url))

const manifest = JSON.parse(readFileSync(join(PACKAGE_ROOT, 'package.json'), 'utf8')) as { version: string }

/** The relay's own version, as in package.json. */
export const VERSION: string = manifest.version
