import { accessSync, constants } from 'node:fs'
import { resolve } from 'node:path'
import type { Config, ExecTargetConfig, TargetConfig } from '../../config/config.ts'
import { findExecutable, permissionAdvice } from '../../config/executable.ts'
import { lifetimeOf } from '../../domain/certificate.ts'
import { duration, iso } from '../instant.ts'
import { goodFor } from './certificate.ts'
import { type Check, type CheckResult, ok, problem, warning } from './check.ts'

/** Whether each target can be reached: connected to, or started. Nothing is sent to it. */
export function targetChecks(config: Config, now: number, timeoutMs: number): Check[] {
  return Object.entries(config.targets).map(([target, options]) => {
    const name = `target ${target}`
    return { name, run: async () => [await reach(name, target, options, config.directory, now, timeoutMs)] }
  })
}

async function reach(
  name: string,
  target: string,
  options: TargetConfig,
  directory: string,
  now: number,
  timeoutMs: number,
): Promise<CheckResult> {
  if (options.type === 'exec') return program(name, options, directory)
  // Loaded here, as the HTTP client takes long to load and no other command needs it.
  const { connectTo } = await import('../../target-connection.ts')
  const connection = await connectTo(target, options, timeoutMs)
  if ('problem' in connection) return problem(name, connection.problem, advice(connection.problem))
  const { peer, certificate } = connection
  if (certificate === null) return ok(name, `can be connected to at ${peer}`)
  const { notAfter } = certificate
  const left = notAfter - now
  if (lifetimeOf(certificate, now) !== 'valid') {
    const when = left > 0 ? `ends at ${iso(notAfter)}, in ${duration(left)}` : `ended at ${iso(notAfter)}`
    return warning(name, `the certificate of ${peer} ${when}`, 'have it renewed')
  }
  return ok(name, `can be connected to at ${peer}, whose certificate is good for ${goodFor(left)}`)
}

function program(name: string, { command }: ExecTargetConfig, directory: string): CheckResult {
  if (!('path' in findExecutable(command[0], directory, undefined))) {
    return problem(
      name,
      `${command[0]} cannot be executed`,
      `install it, or ${permissionAdvice(resolve(directory, command[0]))}`,
    )
  }
  try {
    accessSync(directory, constants.R_OK | constants.X_OK)
  } catch {
    return problem(name, `it would run in ${directory}, which cannot be entered`, 'let the relay’s user read it')
  }
  return ok(name, `${command[0]} can be executed`)
}

/** By the words that an error begins with: its stage, and what the TLS of the server says. */
function advice(error: string): string {
  return ADVICE.find(([form]) => form.test(error))?.[1] ?? 'is it there, and does it speak HTTP?'
}

/** The first that fits. An alert is the server's word about what it was shown. */
const ADVICE: readonly [RegExp, string][] = [
  [/^dns:/, "check the host in its url, and this machine's name servers"],
  [/^connect:/, 'is it running, and does every firewall let this machine through?'],
  [/^tls: \S*ALERT_CERTIFICATE_REQUIRED/, 'it wants a client certificate: write tls.cert and tls.key'],
  [
    /^tls: \S*ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_|UNSUPPORTED_CERTIFICATE|ACCESS_DENIED)/,
    'it rejects the client certificate (tls.cert), or that there is none: check its lifetime and its issuer',
  ],
  [
    /^tls: \S*ALERT_HANDSHAKE_FAILURE/,
    'it may want a client certificate (tls.cert and tls.key), or has no cipher in common with the relay',
  ],
  [
    /^tls: \S*(UNSUPPORTED_PROTOCOL|ALERT_PROTOCOL_VERSION|VERSION_TOO_LOW)/,
    'it has no version of TLS in common with the relay',
  ],
  [
    /^tls: \S*(WRONG_VERSION_NUMBER|PACKET_LENGTH|RECORD_LAYER)/,
    'it does not speak TLS there: check the port, or write http:// in its url',
  ],
  [/^tls:/, 'check its certificate; tls.ca takes an authority of your own, tls.servername another name'],
  [/^proxy:/, 'check the proxy, its credentials, and that it lets this machine through to the target'],
]
