import t from 'tap'
import { scratch } from '../scratch.ts'
import { pick, RotationWorld, seeded } from './rotation-world.ts'

/** More of them by `SEEDS` and `FIRST_SEED`, as in `rotation.fault`. */
const FIRST = Number(process.env.FIRST_SEED ?? 1)
const SEEDS = Number(process.env.SEEDS ?? 12)

t.setTimeout(600_000)

t.test(`no genuine webhook is refused by a rotation, whatever the provider does: ${SEEDS} seeds`, async (t) => {
  let [accepted, crashes, aborted, stale] = [0, 0, 0, 0]
  const directory = scratch(t)
  for (let seed = FIRST; seed < FIRST + SEEDS; seed += 1) {
    const random = seeded(seed)
    const world = new RotationWorld(directory, random)
    await world.live(random() * 120_000)
    const plan = pick(random, ['run', 'run', 'crash', 'abort'] as const)
    const name = `seed ${seed} (${[plan, ...Object.values(world.manners)].join(', ')})`
    if (plan === 'crash' || plan === 'abort') {
      world.crashAt = { request: world.requests + 1 + Math.floor(random() * 9), effect: random() < 0.5 }
    }
    let rotated = await world.rotate()
    if (rotated === null) {
      crashes += 1
      await world.live(random() * 90_000)
      if (!world.isSafe()) t.fail(`${name}: the relay has no secret that Ultravox signs with after a crash`)
      world.crashAt = null
      if (plan === 'abort') {
        // Where the old secret is gone already, there is no way back.
        const abort = () => world.abort().catch(() => 'gone' as const)
        if (random() < 0.5) {
          world.crashAt = { request: world.requests + 1 + Math.floor(random() * 4), effect: random() < 0.5 }
        }
        let undone = await abort()
        if (undone === null) {
          crashes += 1
          await world.live(random() * 90_000)
          if (!world.isSafe())
            t.fail(`${name}: the relay has no secret that Ultravox signs with after a crash of --abort`)
          world.crashAt = null
          undone = await abort()
        }
        world.crashAt = null
        if (undone === true) aborted += 1
        else rotated = await world.rotate()
      } else rotated = await world.rotate()
    }
    await world.settle()
    accepted += world.accepted
    stale += world.stale
    if (world.refused.length > 0) t.same(world.refused, [], name)
    if (!world.isSafe()) t.fail(`${name}: the relay has no secret that Ultravox signs with at the end`)
    if (world.inFile.length !== 1 || world.registered.join() !== world.inFile.join()) {
      t.fail(`${name}: ends with ${world.registered.length} registered, ${world.inFile.length} in the file`)
    }
    if (rotated !== null && world.inFile[0]!.includes('old')) t.fail(`${name}: it ends with the old secret`)
  }
  t.comment(
    `${accepted} accepted, 0 refused; ${crashes} crashes, ${aborted} undone; ${stale} retries too old by their time`,
  )
  t.ok(accepted > 0)
})
