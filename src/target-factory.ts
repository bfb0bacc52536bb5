import type { TargetConfig } from './config/config.ts'
import type { Clock } from './domain/clock.ts'
import type { Secret } from './domain/secret.ts'
import { keysIn } from './targets/body-template.ts'
import { concealer, concealing } from './targets/concealing.ts'
import { createExecTarget } from './targets/exec.ts'
import { createHttpTarget } from './targets/http.ts'
import type { Launcher } from './targets/launcher.ts'
import { createSlackTarget } from './targets/slack.ts'
import type { Target } from './targets/target.ts'

export { Launcher } from './targets/launcher.ts'

/** A target as it is configured, whose own secrets are kept out of the outcomes it gives. `directory`: see `Config`. */
export function createTarget(
  name: string,
  target: TargetConfig,
  directory: string,
  clock: Clock,
  launcher: Launcher,
): Target {
  return concealing(bareTarget(name, target, directory, clock, launcher), secretsOf(target))
}

/** Takes a target's own secrets out of a text about it. */
export function concealerOf(target: TargetConfig): (text: string) => string {
  return concealer(secretsOf(target))
}

function bareTarget(name: string, target: TargetConfig, directory: string, clock: Clock, launcher: Launcher): Target {
  switch (target.type) {
    case 'http':
      return createHttpTarget({ name, ...target }, clock)
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
