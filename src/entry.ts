import type { SilentSources } from './alerts/silent-sources.ts'
import type { Config } from './config/config.ts'
import { concealer } from './domain/concealer.ts'
import { errorMessage } from './domain/errors.ts'
import { callIdOf } from './domain/event.ts'
import { compileRoute, routeEvent } from './domain/routing.ts'
import { boundedCondition } from './expressions/bounded.ts'
import { ADMISSION_LIMITS, admit } from './ingest/admission.ts'
import type { ReceiverOptions } from './ingest/receiver.ts'
import type { Source } from './ingest/source.ts'
import type { Logger } from './logging.ts'
import { noVerification } from './sources/none.ts'
import { createUltravoxScheme } from './sources/ultravox.ts'

/** What it takes to make an event of something: what a source has brought, or the relay has to tell. */
export type Entry = Pick<ReceiverOptions, 'newEventId' | 'route' | 'record'>

/** The sources of a configuration, for the listener. */
export function sourcesOf({ sources, admin, ultravox }: Config): Source[] {
  const verified = Object.values(sources).flatMap((source) => (source.scheme === 'none' ? [] : source.secrets))
  const conceal = concealer([
    ...verified,
    ...(admin?.token == null ? [] : [admin.token]),
    ...ultravox.map(({ apiKey }) => apiKey),
  ])
  return Object.entries(sources).map(([name, source]) => ({
    name,
    account: source.account,
    path: source.path,
    scheme: source.scheme === 'none' ? noVerification : createUltravoxScheme(source.secrets, source.toleranceMs),
    conceal,
  }))
}

/** For what sources bring: then they have been heard of, even if it cannot be stored now. */
export function heardBy(silence: SilentSources, entry: Entry): Entry {
  const record = admit(entry.record, ADMISSION_LIMITS)
  return {
    ...entry,
    record(event, targets) {
      silence.heard(event.source)
      return record(event, targets)
    },
  }
}

function routeName(name: string | null): { readonly routeName?: string } {
  return name === null ? {} : { routeName: name }
}

/**
 * The routes of a configuration; a condition that fails on a payload or overruns counts as true, and is logged: with the event's id,
 * under which nothing is on record if it turns out to be a duplicate, and with its call's.
 */
export function routing(configured: Config['routes'], logger: Logger): Entry['route'] {
  const routes = configured.map((route) => compileRoute(route, boundedCondition))
  const concealers = configured.map(({ referenced }) => concealer(referenced.fallbacks, referenced.values))
  return (payload, source, eventId) =>
    routeEvent(routes, payload, source, (index, error) =>
      logger.warn(
        {
          route: index,
          ...routeName(configured[index]!.name),
          eventId,
          event: payload.event,
          callId: callIdOf(payload),
          error: concealers[index]!(errorMessage(error)),
        },
        'route condition failed, taken as true',
      ),
    )
}
