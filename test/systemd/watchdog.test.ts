import { EventEmitter, once } from 'node:events'
import t from 'tap'
import { Questions } from '../../src/delivery/questions.ts'
import { watchdogMs } from '../../src/systemd/watchdog.ts'

t.test('signs of life are given only where this process is asked for them', async (t) => {
  t.equal(watchdogMs({ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '7' }, 7), 30_000)
  t.equal(watchdogMs({ WATCHDOG_USEC: '30000000' }, 7), 30_000)
  t.equal(watchdogMs({ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '8' }, 7), undefined, 'another is')
  for (const WATCHDOG_USEC of [undefined, '', '0', 'often', '-1']) {
    t.equal(watchdogMs({ WATCHDOG_USEC }, 7), undefined, String(WATCHDOG_USEC))
  }
})

t.test('a question is open until it is answered, in whatever way', async (t) => {
  const clock = { ms: 100, now: () => clock.ms }
  const questions = new Questions(clock)
  const answers = new EventEmitter()
  t.equal(questions.openMs(900), 0)
  const asked = questions.ask(once(answers, 'first'))
  clock.ms = 300
  const refused = t.rejects(questions.ask(once(answers, 'second')))
  t.equal(questions.openMs(900), 800, 'the oldest counts')
  answers.emit('first', 'answer')
  t.same(await asked, ['answer'])
  t.equal(questions.openMs(900), 600)
  answers.emit('error', new Error('no'))
  await refused
  t.equal(questions.openMs(900), 0)
})
