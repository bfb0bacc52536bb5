import { Command } from 'commander'
import { type Reload, reloadDaemon } from '../operations/reload.ts'
import type { OutboxOperator } from '../outbox/operator.ts'
import { type ServiceCredentials, serviceCredentials } from '../systemd/credentials.ts'
import { configFile, configOption, loadWithoutSecrets } from './config-file.ts'
import { withOutbox } from './open-outbox.ts'
import { orphanedAdvice, orphanedText } from './orphaned.ts'
import { examples, jsonOption, print } from './printing.ts'
import { changedText } from './service-credentials.ts'
import { oneLine } from './table.ts'

/** Has the running relay read its configuration anew, and tells what came of it. */
export function reloadCommand(): Command {
  return new Command('reload')
    .description('have the running relay take over its changed configuration; where it is invalid, the old one stays')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('reload', 'reload --config /etc/ultravox-relay/relay.yaml'))
    .action(async (options: { config?: string; json?: boolean }) => {
      const { config } = loadWithoutSecrets(configFile(options.config))
      await withOutbox(config.outbox.path, async (operator) => {
        const done = await reloadDaemon(operator)
        const credentials = await credentialsOf(operator)
        print(options.json, { ...done, credentials }, inWords(done) + credentialText(credentials))
        if (credentials?.changes?.length) process.exitCode = 1
      })
    })
}

async function credentialsOf(operator: Pick<OutboxOperator, 'daemon'>): Promise<ServiceCredentials | null> {
  const daemon = await operator.daemon()
  return daemon?.running === true ? serviceCredentials(daemon.pid, daemon.startedAt) : null
}

function credentialText(credentials: ServiceCredentials | null): string {
  if (credentials === null || credentials.changes?.length === 0) return ''
  const { unit, changes } = credentials
  if (changes === null) {
    return `credentials are those of the start; to take over changed ones:\n  systemctl restart ${unit}\n`
  }
  const lines = changes.map((change) => `  ${oneLine(changedText(change))}`)
  return [
    'credentials not taken over, which systemd copies at a start:',
    ...lines,
    `  systemctl restart ${unit}`,
    '',
  ].join('\n')
}

function inWords({ configFile, changes, orphaned }: Reload): string {
  const changed = changes.length === 0 ? ['nothing has changed'] : changes.map((change) => `  ${oneLine(change)}`)
  const left = orphaned.flatMap((each) => [`${each.target} ${orphanedText(each)}`, `  ${orphanedAdvice(each.target)}`])
  return [`${configFile} is reloaded`, ...changed, ...left, ''].join('\n')
}
