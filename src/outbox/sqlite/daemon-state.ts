import type Database from 'better-sqlite3'
import type { DaemonState } from '../outbox.ts'

export interface DaemonStateStore {
  saveDaemon(state: DaemonState): void
  /** Null where no daemon ever ran. */
  daemonState(): DaemonState | null
  /** Asks the daemon to reload its configuration. Returns the number of the request, from 1 since the daemon started. */
  requestReload(): number
  /** The number of the last request; 0 where there is none since the daemon started. */
  reloadRequested(): number
  /** Drops the requests made to an earlier daemon: one that starts reads its configuration anyway. */
  dropReloadRequests(): void
}

export function createDaemonStateStore(database: Database.Database): DaemonStateStore {
  const replace = database.prepare(`
    insert or replace into daemon_state
      (only_one, pid, version, listen, config_file, started_at, reloads, reloaded_at, reload_problem, answered_reload,
        secrets)
    values (1, @pid, @version, @listen, @configFile, @startedAt, @reloads, @reloadedAt, @reloadProblem, @answeredReload,
      @secrets)`)
  const select = database.prepare(`
    select pid, version, listen, config_file as configFile, started_at as startedAt, reloads,
      reloaded_at as reloadedAt, reload_problem as reloadProblem, answered_reload as answeredReload, secrets
    from daemon_state`)
  const request = database.prepare(`
    insert into reload_requests (only_one, requested) values (1, 1)
    on conflict do update set requested = requested + 1
    returning requested`)
  const requested = database.prepare('select requested from reload_requests')
  const drop = database.prepare('delete from reload_requests')

  return {
    requestReload: () => request.pluck().get() as number,
    reloadRequested: () => (requested.pluck().get() as number | undefined) ?? 0,
    dropReloadRequests() {
      // No write, and so no fsync, where there is nothing to drop.
      if (requested.pluck().get() !== undefined) drop.run()
    },
    saveDaemon: (state) => void replace.run({ ...state, secrets: JSON.stringify(state.secrets) }),
    daemonState() {
      const row = select.get() as (Omit<DaemonState, 'secrets'> & { readonly secrets: string }) | undefined
      return row === undefined ? null : { ...row, secrets: JSON.parse(row.secrets) as DaemonState['secrets'] }
    },
  }
}
