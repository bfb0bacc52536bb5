import type { TargetConfig } from './config/config.ts'
import type { Clock } from './domain/clock.ts'
import { keysIn } from './targets/body-template.ts'
import { concealing } from './targets/concealing.ts'
import { createExecTarget } from './targets/exec.ts'
import { createHttpTarget } from './targets/http.ts'
import type { Launcher } from './targets/launcher.ts'
import { createSlackTarget } from './targets/slack.ts'
import type { Target } from './targets/target.ts'

/** A target as it is configured, whose own secrets are kept out of the outcomes it gives. `directory`: see `Config`. */
export function createTarget(
  name: string,
  target: TargetConfig,
  directory: string,
  clock: Clock,
  launcher: Launcher,
): Target {
  switch (target.type) {
    case 'http': {
      const { headers, sign, body } = target
      return concealing(createHttpTarget({ name, ...target }, clock), [
        ...Object.values(headers),
        ...(sign?.secrets ?? []),
        ...keysIn(body),
      ])
    }
    case 'slack':
      return concealing(createSlackTarget({ name, ...target }, clock), [target.webhookUrl])
    case 'exec':
      return concealing(createExecTarget({ name, directory, ...target }, launcher), Object.values(target.env))
  }
}
