import type { Vitals } from '../domain/vitals.ts'

/** The line that `systemctl status` shows of a running relay. `reloaded` is false where the last reload was refused. */
export function statusLine(address: string, { targets, dead, held, due }: Vitals, reloaded: boolean): string {
  const waiting = held === 0 ? `${due} due` : `${held} held, ${due} due`
  const line = `listening on ${address}; ${targets} ${targets === 1 ? 'target' : 'targets'}, ${dead} dead, ${waiting}`
  return reloaded ? line : `${line}; the changed configuration was refused: see "ultravox-relay status"`
}
