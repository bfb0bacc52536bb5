import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { ConfigError } from '../../src/config/problem.ts'
import { holds } from '../holds.ts'
import { HOSTILE_ENV, hostileYaml, SOUND_FILES } from './hostile-yaml.ts'

t.test('the files that are mangled are taken as they were', async (t) => {
  const file = join(t.testdir(), 'relay.yaml')
  const sound = SOUND_FILES.filter((text) => {
    writeFileSync(file, text)
    try {
      return loadConfig(file, HOSTILE_ENV)
    } catch {
      return false
    }
  })
  // Some of them need certificates, users or other sections.
  t.ok(sound.length >= 5, `${sound.length} of ${SOUND_FILES.length}`)
})

t.test('whatever a configuration holds, it is taken or every problem has a place and words of ours', async (t) => {
  const file = join(t.testdir(), 'relay.yaml')
  const counts = { taken: 0, refused: 0, problems: 0, longestMs: 0 }
  const property = fc.property(hostileYaml, (text) => {
    writeFileSync(file, text)
    const lines = text.split('\n').length
    const startedAt = performance.now()
    try {
      const { shown, warnings } = loadConfig(file, HOSTILE_ENV)
      JSON.stringify([shown(), warnings])
      counts.taken++
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      counts.refused++
      counts.problems += error.problems.length
      for (const { line, column, message, path } of error.problems) {
        const isPlaced = line >= 1 && line <= lines && column >= 1 && typeof path === 'string'
        if (!isPlaced) throw new Error(`no place: ${line}:${column} ${message}`)
        if (message === '' || /\n\s+at |\[object|undefined|Maximum call stack|NaN|Infinity/.test(message)) {
          throw new Error(`no words of ours: ${message}`)
        }
      }
      if (error.problems.length === 0) throw new Error('refused for nothing')
    }
    counts.longestMs = Math.max(counts.longestMs, Math.round(performance.now() - startedAt))
  })
  await holds(t, property, 100, () => JSON.stringify(counts))
  t.ok(counts.taken > 0 && counts.refused > 0, 'there were both')
})
