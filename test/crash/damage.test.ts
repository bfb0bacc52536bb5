import t from 'tap'
import { damageUnderRelay } from './damage.ts'

// The others are in the faults.
for (const name of ['the log is removed', 'the file is cut in half']) {
  t.test(`under a running relay, ${name}`, (t) => damageUnderRelay(t, name))
}
