import t from 'tap'
import {
  ageLimit,
  type ClockReading,
  type ClockTrust,
  CONFIRMED_AFTER_MS,
  confirmClock,
  observeClock,
} from '../../src/domain/clock-trust.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const START = Date.UTC(2026, 0, 15)
const NEWEST = { eventSeq: 7, rejectionId: 9 }

/** A machine that is read once a minute while a relay runs. */
class Machine {
  #state: ClockTrust | null = null
  #wall = START
  #uptime = 5 * HOUR
  #boot = 1

  get state(): ClockTrust {
    return this.#state!
  }

  get wall(): number {
    return this.#wall
  }

  read(): ClockReading {
    return { wallMs: this.#wall, uptimeMs: this.#uptime, bootId: String(this.#boot) }
  }

  run(ms: number): this {
    for (let ranMs = 0; ; ranMs += MINUTE) {
      this.#state = observeClock(this.#state, this.read(), NEWEST)
      if (ranMs >= ms) return this
      this.wait(MINUTE)
    }
  }

  /** Time passes without a relay. */
  wait(ms: number): this {
    this.#wall += ms
    this.#uptime += ms
    return this
  }

  set(ms: number): this {
    this.#wall += ms
    return this
  }

  /** Off for so long; the clock goes on meanwhile, and is off by `wrong` afterwards. */
  reboot(ms: number, wrong = 0): this {
    this.#wall += ms + wrong
    this.#uptime = 10_000
    this.#boot += 1
    return this
  }

  confirm(): this {
    this.#state = confirmClock(this.#state, this.read(), NEWEST)
    return this
  }

  get isHeld(): boolean {
    return this.state.hold !== null
  }
}

t.test('a clock that goes on as time does is believed, whether the relay runs or not', async (t) => {
  const machine = new Machine().run(10 * MINUTE)
  t.equal(machine.isHeld, false)
  t.equal(machine.wait(100 * DAY).run(0).isHeld, false, 'stopped for 100 days, or asleep')
  t.equal(machine.set(50 * MINUTE).run(0).isHeld, false, 'small steps')
  t.equal(machine.set(-50 * MINUTE).run(0).isHeld, false)
  t.equal(machine.reboot(20 * HOUR).run(0).isHeld, false, 'off for the night')
  t.equal(machine.state.correction, null)
})

for (const step of [401 * DAY, 10 * DAY, -10 * DAY, 2 * HOUR, -2 * HOUR]) {
  t.test(
    `a clock that is set by ${step / HOUR} h is not believed before an hour, and again once it is set back`,
    async (t) => {
      const machine = new Machine().run(MINUTE).set(step).run(0)
      t.match(machine.state.hold, { offMs: step, isExact: true, steadyMs: 0, sinceMs: START + MINUTE + step })
      t.equal(machine.run(CONFIRMED_AFTER_MS - MINUTE).isHeld, true)
      t.same(machine.state.trusted.wallMs, START + MINUTE, 'what was trusted stays')
      t.equal(machine.set(-step).run(0).isHeld, false)
      t.equal(machine.state.correction === null, step > 0)
      t.equal(machine.set(step).run(CONFIRMED_AFTER_MS - MINUTE).isHeld, true, 'the hour begins again')
      t.equal(machine.run(MINUTE).isHeld, false, 'a new time that has gone on for an hour is believed')
    },
  )
}

t.test('a clock that is set while the relay is stopped is noticed at the next start', async (t) => {
  for (const step of [401 * DAY, -10 * DAY]) {
    t.equal(new Machine().run(MINUTE).wait(DAY).set(step).run(0).isHeld, true)
    t.equal(new Machine().run(MINUTE).reboot(MINUTE, step).run(0).isHeld, true, 'also by a reboot')
  }
  const machine = new Machine()
    .run(MINUTE)
    .set(401 * DAY)
    .run(MINUTE)
  t.equal(machine.wait(100 * DAY).run(0).state.hold!.steadyMs, MINUTE, 'time without the relay confirms nothing')
  t.equal(machine.reboot(0).run(0).isHeld, true)
})

t.test('a machine that was off for long is believed after an hour', async (t) => {
  const machine = new Machine()
    .run(MINUTE)
    .reboot(20 * DAY)
    .run(MINUTE)
  t.match(machine.state.hold, { offMs: 20 * DAY, isExact: false })
  t.equal(machine.run(CONFIRMED_AFTER_MS).isHeld, false)
  t.match(machine.state.correction, { eventShiftMs: 0, rejectionShiftMs: 20 * DAY }, 'events age, kept requests wait')
})

t.test('a second step while the first is in doubt begins the hour again', async (t) => {
  const machine = new Machine()
    .run(0)
    .set(2 * DAY)
    .run(HOUR / 2)
    .set(DAY)
    .run(HOUR / 2)
  t.match(machine.state.hold, { offMs: 3 * DAY, steadyMs: HOUR / 2 })
})

t.test('an operator may confirm at once', async (t) => {
  const machine = new Machine()
    .run(0)
    .set(10 * DAY)
    .run(0)
    .confirm()
  t.equal(machine.isHeld, false)
  t.equal(machine.run(MINUTE).isHeld, false)
  t.equal(new Machine().confirm().isHeld, false, 'also where the clock was never read')
})

t.test(
  'what a clock that was behind has stamped counts as younger, until the clock was set right at most',
  async (t) => {
    const machine = new Machine()
      .run(0)
      .set(10 * DAY)
      .run(0)
      .confirm()
    const { wall } = machine
    const { correction } = machine.state
    const shifts = { eventShiftMs: 10 * DAY, rejectionShiftMs: 10 * DAY }
    t.same(correction, { from: { eventSeq: 0, rejectionId: 0 }, to: NEWEST, atMs: wall, ...shifts })
    const limit = (days: number, after: number) => ageLimit(wall + after - days * DAY, correction, 'rejectionShiftMs')
    t.same(limit(7, 0), { before: wall - 7 * DAY, correctedBefore: wall - 17 * DAY })
    t.same(limit(7, 8 * DAY), { before: wall + DAY, correctedBefore: wall + DAY }, 'its time is over')
    t.same(ageLimit(5, null, 'eventShiftMs'), { before: 5, correctedBefore: 5 })
    machine
      .run(0)
      .set(5 * DAY)
      .run(0)
      .confirm()
    t.match(machine.state.correction, { eventShiftMs: 15 * DAY }, 'steps add up')
  },
)

t.test('what came while a clock was behind for a while counts as younger too, once it is set right', async (t) => {
  const machine = new Machine()
    .run(0)
    .set(-10 * DAY)
    .run(0)
  t.match(machine.state.hold, { from: NEWEST, behindMs: 10 * DAY })
  t.match(machine.set(7 * DAY).run(0).state.hold, { offMs: -3 * DAY, behindMs: 10 * DAY }, 'by steps')
  t.match(machine.set(3 * DAY).run(0).state.correction, {
    from: { ...NEWEST, rejectionId: 0 },
    to: NEWEST,
    rejectionShiftMs: 10 * DAY,
  })
  t.equal(
    new Machine()
      .run(0)
      .set(-10 * DAY)
      .run(0)
      .confirm().state.correction,
    null,
    'it was ahead before',
  )
  t.equal(
    new Machine()
      .run(0)
      .set(10 * DAY)
      .run(0)
      .set(-10 * DAY)
      .run(0).state.correction,
    null,
  )
})
