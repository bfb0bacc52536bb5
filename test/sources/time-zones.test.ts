import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'

/** Zones that are ahead by half an hour, behind and with a summer time, and that once left out a day; minutes as `getTimezoneOffset` tells them. */
const ZONES: [string, number][] = [
  ['Asia/Kolkata', -330],
  ['America/New_York', 300],
  ['Pacific/Apia', -780],
]

t.jobs = ZONES.length

for (const [zone, offset] of ZONES) {
  t.test(`signatures and timestamps mean the same on a machine in ${zone}`, { buffered: true }, async (t) => {
    const env = { ...process.env, TZ: zone }
    const told = execFileSync(process.execPath, ['-p', 'new Date(2026, 0, 15).getTimezoneOffset()'], { env })
    t.equal(Number(told), offset, 'the zone is in force')
    const tests = fileURLToPath(new URL('zone-independent.js', import.meta.url))
    await t.spawn(process.execPath, [tests], { env })
  })
}
