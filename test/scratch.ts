import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

/**
 * A directory of the test's own that is removed after everything else: tap removes its `testdir` before it ends what still
 * uses it, and an outbox takes a removed file for the disaster it is.
 */
export function scratch(t: Pick<Test, 'teardown'>): string {
  const directory = mkdtempSync(join(tmpdir(), 'relay-test-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}
