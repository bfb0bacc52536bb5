import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { scratch } from './scratch.ts'

/** What a run with a failure in the middle looks like; the outer ones fail because the innermost does. */
const FAILED = `TAP version 14
# Subtest: build/test/suite.js
    # Subtest: build/test/some.test.js
        # Subtest: something goes as it should
            ok 1 - so far
            not ok 2 - no further
              ---
              diff: |
                -  "expected"
                +  "found"
                ...
              ...
            
            ok 3 - all the same
            not ok 4 - known # TODO one day
              ---
              at: somewhere
              ...
            1..4
        not ok 1 - something goes as it should # time=48.6ms
          ---
          source: of the outer one
          ...
        
        ok 2 - something else
    not ok 1 - build/test/some.test.js # time=60ms
    
    # Subtest: build/test/slow.test.js
        ok 1 - fine
    not ok 2 - build/test/slow.test.js # time=180000ms
      ---
      signal: SIGTERM
      ...
not ok 1 - build/test/suite.js # time=240000ms
  ---
  exitCode: 1
  ...

# { total: 5, pass: 3, fail: 2 }
`

function told(t: Test, output: string, lines: number): string {
  const file = join(scratch(t), 'output')
  writeFileSync(file, output)
  return execFileSync('.ci/failures', ['Node 20', file, `${lines}`], { encoding: 'utf8' })
}

t.test('what failed is told with its diagnostics and where it stands', async (t) => {
  t.equal(
    told(t, FAILED, 100),
    `== What failed: Node 20
not ok 2 - no further
---
diff: |
  -  "expected"
  +  "found"
  ...
...
  in: not ok 1 - something goes as it should # time=48.6ms
  in: not ok 1 - build/test/some.test.js # time=60ms
not ok 2 - build/test/slow.test.js # time=180000ms
---
signal: SIGTERM
...
  in: not ok 1 - build/test/suite.js # time=240000ms
`,
  )
})

t.test('of much that failed, as many lines as wanted are told, and that there are more', async (t) => {
  t.equal(told(t, FAILED, 2), '== What failed: Node 20\nnot ok 2 - no further\n---\n(12 lines more of this)\n')
})

t.test('of a suite that fell over before it could say what failed, its last lines are told', async (t) => {
  const lines = Array.from({ length: 100 }, (_, i) => `line ${i}`)
  t.equal(told(t, `${lines.join('\n')}\n`, 50), `== What failed: Node 20\n${lines.slice(60).join('\n')}\n`)
})
