import { statSync } from 'node:fs'
import { accessing } from '../safe-file.ts'
import type { ServerTlsConfig } from './config.ts'
import type { Answers, Requests } from './reader-protocol.ts'
import { renewed } from './server-tls.ts'

/** Reads the files of a certificate where they are not in the state they were in. */
export function readCertificate({ tls, state: before, now }: Requests['certificate']): Answers['certificate'] {
  const state = stateOf(tls)
  return { state, next: state === before ? null : renewed(tls, now) }
}

/** Differs when a file is written, replaced, or gets another owner or mode. */
function stateOf({ certFile, keyFile }: ServerTlsConfig): string {
  return [certFile, keyFile].map((file) => (file === null ? '' : accessing(file, () => written(file)))).join(' ')
}

function written(file: string): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(file, { bigint: true })
    return [dev, ino, size, mtimeNs, ctimeNs].join(':')
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code)
  }
}
