import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

export type Trouble = 'silent' | 'dripping' | 'nameless' | 'sleeping'

export const ALL_TROUBLES: readonly Trouble[] = ['silent', 'dripping', 'nameless', 'sleeping']

/** Measures in a process of its own; see `isolation-run.ts`. */
export async function measureP99(troubles: readonly Trouble[]): Promise<number> {
  const program = fileURLToPath(new URL('./isolation-run.js', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [program, ...troubles], {
    env: { PATH: process.env.PATH },
  })
  return Number(stdout)
}
