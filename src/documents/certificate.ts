import { type CertificateFacts, lifetimeOf } from '../domain/certificate.ts'
import { iso } from './instants.ts'

/** The certificate that the public listener serves, and why it is not the one in the files. */
export interface ServedCertificate {
  /** What new connections are shown; null without TLS, or where it is not known. */
  readonly served: CertificateFacts | null
  /** Why that is not known, or is not what the files hold; null where all is well. */
  readonly problem: string | null
}

/** Null without TLS. */
export function certificateDocument({ served, problem }: ServedCertificate, now: number): object | null {
  if (served === null) return problem === null ? null : { problem }
  const { notBefore, notAfter, ...rest } = served
  return { ...rest, notBefore: iso(notBefore), notAfter: iso(notAfter), lifetime: lifetimeOf(served, now), problem }
}
