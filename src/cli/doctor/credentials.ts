import { type ServiceCredentials, serviceCredentials } from '../../systemd/credentials.ts'
import { changedText } from '../service-credentials.ts'
import { type Check, type CheckResult, ok, problem } from './check.ts'
import type { OutboxFacts } from './outbox.ts'

const NAME = 'credentials'

/** Whether the running relay has the credentials that its unit names: systemd copies them when it starts the relay only. */
export function credentialChecks({ daemon, running }: OutboxFacts): Check[] {
  if (daemon === null || !running) return []
  const found = serviceCredentials(daemon.pid, daemon.startedAt)
  return found === null ? [] : [{ name: NAME, run: async () => resultsOf(found) }]
}

function resultsOf({ unit, changes }: ServiceCredentials): CheckResult[] {
  if (changes === null) return [ok(NAME, `${unit} has those of its start; root can compare them with their sources`)]
  if (changes.length === 0) return [ok(NAME, `${unit} has what LoadCredential= names now`)]
  return changes.map((change) =>
    problem(NAME, changedText(change), `systemctl restart ${unit}: a reload does not take it over`),
  )
}
