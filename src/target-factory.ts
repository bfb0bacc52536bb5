import type { ConnectionConfig, TargetConfig } from './config/config.ts'
import type { Attachments } from './domain/attachments.ts'
import type { Clock } from './domain/clock.ts'
import { type Conceal, concealer } from './domain/concealer.ts'
import { Secret } from './domain/secret.ts'
import { keysIn } from './expressions/body-template.ts'
import { attaching } from './targets/attaching.ts'
import { concealing } from './targets/concealing.ts'
import { createExecTarget } from './targets/exec.ts'
import { createHttpTarget } from './targets/http.ts'
import type { Launcher } from './targets/launcher.ts'
import { createSlackTarget } from './targets/slack.ts'
import type { Target } from './targets/target.ts'
import type { OnUnmatched } from './targets/unmatched-paths.ts'

export { withAttached } from './targets/attached-payload.ts'
export { Launcher } from './targets/launcher.ts'

/**
 * A target as it is configured, whose own secrets are kept out of the outcomes it gives. `directory`: see `Config`;
 * `attachments`: for one that has some attached; `onUnmatched`: see there.
 */
export function createTarget(
  name: string,
  target: TargetConfig,
  directory: string,
  clock: Clock,
  launcher: Launcher,
  attachments: Attachments,
  onUnmatched?: OnUnmatched,
): Target {
  const conceal = concealerOf(target)
  const made = concealing(bareTarget(name, target, directory, clock, launcher, conceal, onUnmatched), conceal)
  return target.attach === null ? made : attaching(made, target.attach, attachments)
}

/** Takes a target's own secrets out of a text about it. */
export function concealerOf(target: TargetConfig): Conceal {
  const { values, fallbacks } = target.referenced
  return concealer([...secretsOf(target), ...fallbacks], values)
}

function bareTarget(
  name: string,
  target: TargetConfig,
  directory: string,
  clock: Clock,
  launcher: Launcher,
  conceal: Conceal,
  onUnmatched: OnUnmatched | undefined,
): Target {
  switch (target.type) {
    case 'http':
      return createHttpTarget(
        { name, ...target, multipart: target.attach?.recording === 'file', ...(onUnmatched && { onUnmatched }) },
        clock,
      )
    case 'slack':
      return createSlackTarget({ name, ...target }, clock)
    case 'exec':
      return createExecTarget({ name, directory, ...target, conceal }, launcher)
  }
}

/** What they say is said by everybody, and is wanted in an answer that complains of it. */
const PUBLIC_HEADERS: ReadonlySet<string> = new Set(['accept', 'accept-language', 'content-type', 'user-agent'])

/** All that a target is given and others are not to see, declared as a secret or not. */
function secretsOf(target: TargetConfig): Secret[] {
  switch (target.type) {
    case 'http': {
      const { url, sign, body } = target
      return [url, ...connectionSecrets(target), ...(sign?.secrets ?? []), ...keysIn(body)]
    }
    case 'slack':
      return [target.webhookUrl, ...connectionSecrets(target), ...keysIn(target.text), ...keysIn(target.blocks)]
    case 'exec':
      return [...Object.values(target.env), ...passedOn(target.passEnv), ...keysIn(valuesIn(target.command.slice(1)))]
  }
}

/** The TLS key is not included: it is never sent to the server. */
function connectionSecrets({ proxy, headers }: ConnectionConfig): Secret[] {
  return [
    ...(proxy === null ? [] : [proxy]),
    ...Object.entries(headers).flatMap(([header, value]) => (PUBLIC_HEADERS.has(header.toLowerCase()) ? [] : [value])),
  ]
}

function passedOn(names: readonly string[]): Secret[] {
  return names.flatMap((name) => (process.env[name] === undefined ? [] : [new Secret(process.env[name])]))
}

/** Arguments that may be more than a path, which nobody would hide. */
function valuesIn(args: readonly string[]): string[] {
  return args.filter((text) => !/^\.{0,2}\//.test(text))
}
