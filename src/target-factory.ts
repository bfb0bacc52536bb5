import type { TargetConfig } from './config/config.ts'
import type { Attachments } from './domain/attachments.ts'
import type { Clock } from './domain/clock.ts'
import type { Secret } from './domain/secret.ts'
import { attaching } from './targets/attaching.ts'
import { keysIn } from './targets/body-template.ts'
import { concealer, concealing } from './targets/concealing.ts'
import { createExecTarget } from './targets/exec.ts'
import { createHttpTarget } from './targets/http.ts'
import type { Launcher } from './targets/launcher.ts'
import { createSlackTarget } from './targets/slack.ts'
import type { Target } from './targets/target.ts'

export { withAttached } from './targets/attached-payload.ts'
export { Launcher } from './targets/launcher.ts'

/**
 * A target as it is configured, whose own secrets are kept out of the outcomes it gives. `directory`: see `Config`;
 * `attachments`: for one that has some attached.
 */
export function createTarget(
  name: string,
  target: TargetConfig,
  directory: string,
  clock: Clock,
  launcher: Launcher,
  attachments: Attachments,
): Target {
  const made = concealing(bareTarget(name, target, directory, clock, launcher), secretsOf(target))
  return target.attach === null ? made : attaching(made, target.attach, attachments)
}

/** Takes a target's own secrets out of a text about it. */
export function concealerOf(target: TargetConfig): (text: string) => string {
  return concealer(secretsOf(target))
}

function bareTarget(name: string, target: TargetConfig, directory: string, clock: Clock, launcher: Launcher): Target {
  switch (target.type) {
    case 'http':
      return createHttpTarget({ name, ...target, multipart: target.attach?.recording === 'file' }, clock)
    case 'slack':
      return createSlackTarget({ name, ...target }, clock)
    case 'exec':
      return createExecTarget({ name, directory, ...target }, launcher)
  }
}

function secretsOf(target: TargetConfig): Secret[] {
  switch (target.type) {
    case 'http':
      return [...Object.values(target.headers), ...(target.sign?.secrets ?? []), ...keysIn(target.body)]
    case 'slack':
      return [target.webhookUrl]
    case 'exec':
      return Object.values(target.env)
  }
}
