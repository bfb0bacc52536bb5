import t from 'tap'
import { DAMAGES, damageUnderRelay } from '../crash/damage.ts'

for (const name of Object.keys(DAMAGES)) t.test(`under a running relay, ${name}`, (t) => damageUnderRelay(t, name))
