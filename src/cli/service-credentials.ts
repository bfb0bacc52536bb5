import type { CredentialChange } from '../systemd/credentials.ts'
import { credentialsDirectory } from '../systemd/credentials.ts'
import { loadWithoutSecrets } from './config-file.ts'
import { withOutbox } from './open-outbox.ts'

/** `${credential:relay_crm} has changed since the start (/etc/ultravox-relay/secrets/crm)`. */
export function changedText({ name, source, change }: CredentialChange): string {
  const what = { changed: 'has changed', added: 'was added', removed: 'was removed' }[change]
  return `\${credential:${name}} ${what} since the start (${source})`
}

/**
 * Sets $CREDENTIALS_DIRECTORY to that of the service in which the relay of a configuration runs, where it is not set. Root can read
 * what is in it. Does nothing where no such service can be found.
 */
export async function useServiceCredentials(file: string): Promise<void> {
  if (process.env.CREDENTIALS_DIRECTORY || process.getuid?.() !== 0) return
  try {
    const { config, missing } = loadWithoutSecrets(file)
    if (!missing.some(({ message }) => message.includes('${credential:'))) return
    const daemon = await withOutbox(config.outbox.path, (operator) => operator.daemon())
    const directory = daemon?.running === true ? credentialsDirectory(daemon.pid) : undefined
    if (directory !== undefined) process.env.CREDENTIALS_DIRECTORY = directory
  } catch {
    // What is wrong with the configuration or the outbox is reported where they are used.
  }
}
