import t from 'tap'
import { restartUnderLoad } from '../systemd/restarts.ts'

const RESTARTS = 20

t.test('twenty restarts under load on a socket that is held fail no request', async (t) => {
  const { answers, started, stored } = await restartUnderLoad(t, RESTARTS)
  t.same([...new Set(answers)], [204])
  t.equal(started.length, RESTARTS + 1)
  t.equal(stored, answers.length)
  t.comment(`${answers.length} requests over ${RESTARTS} restarts, 0 failed`)
})
