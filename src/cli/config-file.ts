import { existsSync } from 'node:fs'
import { Option } from 'commander'
import { type LoadedConfig, loadConfig } from '../config/load.ts'
import { ConfigError, formatProblem, type Problem } from '../config/problem.ts'
import { writeError } from './output.ts'

const OWN = 'relay.yaml'
const EXAMPLE = 'relay.example.yaml'

/** `--config FILE`, the same at every command. */
export function configOption(): Option {
  return new Option('-c, --config <file>', `the configuration (default: ${OWN}, else ${EXAMPLE}, in this directory)`)
}

/** The configuration file that a command works with: what was asked for, else the one that is there. */
export function configFile(asked: string | undefined): string {
  return asked ?? (existsSync(OWN) || !existsSync(EXAMPLE) ? OWN : EXAMPLE)
}

/** Loads it and tells its warnings on stderr. Throws `ConfigError`. */
export function loadTold(
  file: string,
  env: NodeJS.ProcessEnv = process.env,
  purpose: 'daemon' | 'start' = 'start',
): LoadedConfig {
  const loaded = loadConfig(file, env, purpose)
  for (const warning of loaded.warnings) writeError(`warning: ${formatProblem(warning)}\n`)
  return loaded
}

/** Loads it for a command that tells of its problems itself. */
export function loadOrProblems(
  file: string,
  purpose: 'daemon' | 'start',
): LoadedConfig | { readonly problems: readonly Problem[] } {
  try {
    return loadConfig(file, process.env, purpose)
  } catch (error) {
    if (error instanceof ConfigError) return { problems: error.problems }
    throw error
  }
}

/**
 * Loads it for a command that only works on the outbox: secrets, programs and certificates, which perhaps only the daemon
 * can get at, need not be there, and nothing is told of what matters to the daemon only. Throws `ConfigError`.
 */
export function loadWithoutSecrets(file: string): LoadedConfig {
  return loadConfig(file, process.env, 'outbox')
}
