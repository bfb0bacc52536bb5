import { type CertificateFacts, lifetimeOf } from '../domain/certificate.ts'
import { iso } from '../domain/iso.ts'
import type { Alert } from './relay-event.ts'

/** Where a certificate stands in the configuration: `server.tls`, `targets.crm.tls`. */
export type CertificatePlace = 'server.tls' | `targets.${string}.tls`

/** All that is wrong with the lifetime of a certificate in use: at most one alert. */
export function lifetimeAlerts(place: CertificatePlace, facts: CertificateFacts, now: number): Alert[] {
  const lifetime = lifetimeOf(facts, now)
  if (lifetime === 'valid') return []
  const end = iso(facts.notAfter)
  const about = { subject: place, facts: { certificate: { place, ...document(facts) } } }
  const what = `The certificate of ${place} ("${facts.subject}")`
  if (lifetime === 'expiring') {
    const message = `${what} expires at ${end}, and less than a fifth of its lifetime or three weeks are left: ${renewal(place)}`
    return [{ event: 'relay.certificate.expiring', message, ...about }]
  }
  const verifier = place === 'server.tls' ? 'Ultravox and other clients reject' : 'its server rejects'
  const when = lifetime === 'expired' ? `expired at ${end}` : `is not valid before ${iso(facts.notBefore)}`
  const message = `${what} ${when}, so ${verifier} the connection: ${renewal(place)}`
  return [{ event: 'relay.certificate.expired', message, ...about }]
}

export function certificateRenewed(place: CertificatePlace, facts: CertificateFacts): Alert {
  return {
    event: 'relay.certificate.renewed',
    subject: place,
    message: `The certificate of ${place} ("${facts.subject}") is valid until ${iso(facts.notAfter)}.`,
    facts: { certificate: { place, ...document(facts) } },
  }
}

/** `served`: the certificate that stays in use. */
export function certificateReloadFailed(place: CertificatePlace, problem: string, served: CertificateFacts): Alert {
  const end = iso(served.notAfter)
  return {
    event: 'relay.certificate.reload_failed',
    subject: place,
    message: `The files of ${place} have changed and cannot be used (${problem}). The previous certificate is still served; it expires at ${end}.`,
    facts: { certificate: { place, problem, ...document(served) } },
  }
}

export function certificateReloaded(place: CertificatePlace, served: CertificateFacts): Alert {
  return {
    event: 'relay.certificate.reloaded',
    subject: place,
    message: `The files of ${place} can be used, and what they hold is served. It expires at ${iso(served.notAfter)}.`,
    facts: { certificate: { place, ...document(served) } },
  }
}

function renewal(place: CertificatePlace): string {
  return place === 'server.tls'
    ? 'renew it; the relay loads the new files by itself.'
    : 'renew it, then run ultravox-relay reload.'
}

function document({ names, notBefore, notAfter, fingerprint }: CertificateFacts) {
  return { names, notBefore: iso(notBefore), notAfter: iso(notAfter), fingerprint }
}
