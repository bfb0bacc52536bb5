import type { Vitals } from '../domain/vitals.ts'

/** The line that `systemctl status` shows of a running relay. `reloaded` is false where the last reload was refused. */
export function statusLine(address: string, { targets, dead, due }: Vitals, reloaded: boolean): string {
  const line = `listening on ${address}; ${targets} ${targets === 1 ? 'target' : 'targets'}, ${dead} dead, ${due} due`
  return reloaded ? line : `${line}; the changed configuration was refused: see "ultravox-relay status"`
}
