import { resolve } from 'node:path'
import { errorMessage } from '../domain/errors.ts'
import type { Secret } from '../domain/secret.ts'
import type { Draft } from './draft.ts'
import { EXAMPLE_SECRET, exampleFindings } from './example-secret.ts'
import type { Finding } from './finding.ts'
import { judgeSecret } from './secret-text.ts'
import { readSecretsFile } from './secrets-file.ts'

/** What is in the secrets files of a configuration, and what there is to say of them. */
export interface SecretsFiles {
  /** By the name of the source. */
  readonly secrets: ReadonlyMap<string, readonly Secret[]>
  readonly findings: readonly Finding[]
}

const HOW_TO_MAKE = 'write a secret into it, or let "ultravox-relay webhooks ensure" make one'

/** Reads them once, so that what was checked is what is used. */
export function readSecretsFiles(draft: Draft): SecretsFiles {
  const { sources, surroundings } = draft
  const secrets = new Map<string, readonly Secret[]>()
  const findings: Finding[] = []
  for (const [name, { secretsFile }] of sources) {
    if (secretsFile === undefined) continue
    const path = ['sources', name, 'secretsFile']
    try {
      const file = readSecretsFile(resolve(surroundings.directory, secretsFile))
      if (file === null) findings.push({ path, message: `there is no such file: ${HOW_TO_MAKE}` })
      else if (file.secrets.length === 0)
        findings.push({ path, message: `the file has no secret in it: ${HOW_TO_MAKE}` })
      for (const [index, secret] of (file?.secrets ?? []).entries()) {
        const inLine = (finding: Pick<Finding, 'message' | 'level'>) => ({
          path,
          ...finding,
          message: `the secret in line ${file!.lines[index]} ${finding.message}`,
        })
        const isExample = secret.reveal() === EXAMPLE_SECRET
        findings.push(...(isExample ? exampleFindings(draft) : judgeSecret(secret.reveal(), true)).map(inLine))
      }
      if (file?.openToOthers === true) {
        findings.push({ path, message: 'others can read or change the file: chmod 600 it', level: 'warning' })
      }
      secrets.set(name, file?.secrets ?? [])
    } catch (error) {
      findings.push({ path, message: errorMessage(error) })
    }
  }
  return { secrets, findings }
}
