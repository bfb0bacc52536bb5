import t from 'tap'
import { REFUSALS } from './refusals/refusals.ts'
import { problemsOf, refuses } from './relay-yaml.ts'

for (const [mistake, refusal] of Object.entries(REFUSALS)) {
  t.test(`${mistake} is told where it is, with what to write instead`, async (t) => refuses(t, refusal))
}

t.test('no message speaks in the words of the validation library', async (t) => {
  for (const { yaml, ...beside } of Object.values(REFUSALS)) {
    for (const { message } of problemsOf(t, yaml.replace('▸', ''), beside)) {
      t.notMatch(message, /invalid (input|option|key)|expected|received|undefined|\[object/i)
    }
  }
})
