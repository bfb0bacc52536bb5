import type { Config } from '../../config/config.ts'
import { certificatesIn } from '../../config/pem.ts'
import { iso } from '../instant.ts'
import { type Check, type CheckResult, ok, problem, warning } from './check.ts'

const NAME = 'certificate'
const DAY_MS = 86_400_000
/** A certificate is usually renewed a month before its end, so with this little left it was not. */
const LITTLE_LEFT_MS = 14 * DAY_MS

/** How long the public listener's certificate is good for. */
export function certificateChecks({ server: { tls } }: Config, now: number): Check[] {
  if (tls === null) return []
  const [certificate] = certificatesIn(tls.cert.reveal())!
  return [{ name: NAME, run: async () => [lifetime(Date.parse(certificate.validTo), now)] }]
}

function lifetime(end: number, now: number): CheckResult {
  const advice = 'have it renewed: the relay sees the new files by itself'
  if (end <= now) return problem(NAME, `that of the public listener has ended at ${iso(end)}`, advice)
  if (endsSoon(end, now)) {
    return warning(NAME, `that of the public listener ends at ${iso(end)}, in ${daysLeft(end, now)} days`, advice)
  }
  return ok(NAME, `that of the public listener is good for ${daysLeft(end, now)} days`)
}

export function endsSoon(end: number, now: number): boolean {
  return end - now < LITTLE_LEFT_MS
}

export function daysLeft(end: number, now: number): number {
  return Math.floor((end - now) / DAY_MS)
}
