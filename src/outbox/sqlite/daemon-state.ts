import type Database from 'better-sqlite3'
import type { DaemonState } from '../outbox.ts'
import { schemaOf } from './migrate.ts'

/** The schema version that introduced the configuration on record. */
const CONFIGURATION_SINCE = 13

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

type InJson = 'secrets' | 'configuration' | 'reloadChanges' | 'unknownPaths'
type DaemonRow = Omit<DaemonState, InJson> & { readonly [K in InJson]: string }

export function createDaemonStateStore(database: Database.Database): DaemonStateStore {
  // An operator reads older outboxes too.
  const isOlder = schemaOf(database) < CONFIGURATION_SINCE
  const replace = isOlder
    ? undefined
    : database.prepare(`
    insert or replace into daemon_state
      (only_one, pid, version, listen, config_file, started_at, reloads, reloaded_at, reload_problem, answered_reload,
        secrets, configuration, reload_changes, unknown_paths)
    values (1, @pid, @version, @listen, @configFile, @startedAt, @reloads, @reloadedAt, @reloadProblem, @answeredReload,
      @secrets, @configuration, @reloadChanges, @unknownPaths)`)
  const select = database.prepare(`
    select pid, version, listen, config_file as configFile, started_at as startedAt, reloads,
      reloaded_at as reloadedAt, reload_problem as reloadProblem, answered_reload as answeredReload, secrets,
      ${isOlder ? "'null'" : 'configuration'} as configuration, ${isOlder ? "'[]'" : 'reload_changes'} as reloadChanges,
      ${isOlder ? "'[]'" : 'unknown_paths'} as unknownPaths
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
    saveDaemon: (state) =>
      void replace!.run({
        ...state,
        secrets: JSON.stringify(state.secrets),
        configuration: JSON.stringify(state.configuration),
        reloadChanges: JSON.stringify(state.reloadChanges),
        unknownPaths: JSON.stringify(state.unknownPaths),
      }),
    daemonState() {
      const row = select.get() as DaemonRow | undefined
      if (row === undefined) return null
      const { secrets, configuration, reloadChanges, unknownPaths } = row
      return {
        ...row,
        secrets: JSON.parse(secrets) as DaemonState['secrets'],
        configuration: JSON.parse(configuration) as unknown,
        reloadChanges: JSON.parse(reloadChanges) as string[],
        unknownPaths: JSON.parse(unknownPaths) as DaemonState['unknownPaths'],
      }
    },
  }
}
