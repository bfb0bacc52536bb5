import t from 'tap'
import { lifetimeOf } from '../../src/domain/certificate.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR

t.test('a certificate expires soon by its lifetime, not by a fixed number of days', async (t) => {
  // ACME clients renew with a third left, or half of it for short ones: in time is never told.
  const cases: [string, number, number, number][] = [
    ['400 days', 400 * DAY, 22 * DAY, 20 * DAY],
    ['90 days', 90 * DAY, 30 * DAY, 17 * DAY],
    ['47 days', 47 * DAY, 15 * DAY, 9 * DAY],
    ['160 hours', 160 * HOUR, 80 * HOUR, 31 * HOUR],
    ['1 day', DAY, 8 * HOUR, 4 * HOUR],
  ]
  for (const [what, notAfter, renewed, late] of cases) {
    const of = (left: number) => lifetimeOf({ notBefore: 0, notAfter }, notAfter - left)
    t.equal(of(renewed), 'valid', what)
    t.equal(of(late), 'expiring', what)
    t.equal(of(0), 'expired', what)
    t.equal(of(notAfter + 1), 'not_yet_valid', what)
  }
})
