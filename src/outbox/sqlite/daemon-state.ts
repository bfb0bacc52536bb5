import type Database from 'better-sqlite3'
import type { DaemonState } from '../outbox.ts'

export interface DaemonStateStore {
  saveDaemon(state: DaemonState): void
  /** Null where no daemon ever ran. */
  daemonState(): DaemonState | null
}

export function createDaemonStateStore(database: Database.Database): DaemonStateStore {
  const replace = database.prepare(`
    insert or replace into daemon_state
      (only_one, pid, version, listen, config_file, started_at, reloads, reloaded_at, reload_problem, secrets)
    values (1, @pid, @version, @listen, @configFile, @startedAt, @reloads, @reloadedAt, @reloadProblem, @secrets)`)
  const select = database.prepare(`
    select pid, version, listen, config_file as configFile, started_at as startedAt, reloads,
      reloaded_at as reloadedAt, reload_problem as reloadProblem, secrets
    from daemon_state`)

  return {
    saveDaemon: (state) => void replace.run({ ...state, secrets: JSON.stringify(state.secrets) }),
    daemonState() {
      const row = select.get() as (Omit<DaemonState, 'secrets'> & { readonly secrets: string }) | undefined
      return row === undefined ? null : { ...row, secrets: JSON.parse(row.secrets) as DaemonState['secrets'] }
    },
  }
}
