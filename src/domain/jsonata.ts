import { createRequire } from 'node:module'
import type Jsonata from 'jsonata'

const require = createRequire(import.meta.url)

/** JSONata, loaded with the first expression: most configurations have none, and it is a tenth of what a command loads. */
export function jsonata(): typeof Jsonata {
  return require('jsonata') as typeof Jsonata
}
