/** Puts on record that a source's secret has signed a genuine event (epoch milliseconds). */
export type SaveSecretUse = (source: string, fingerprint: string, at: number) => Promise<void>

/** A use that is no news is written no more often than this. */
const REFRESH_MS = 60_000

/**
 * Takes down which secrets genuine events were signed with, so that a rotation knows when the new one is in use. Nothing
 * waits for it, and where it cannot be written, the next event will do.
 */
export function createSecretUses(
  save: SaveSecretUse,
): (source: string, fingerprints: readonly string[], at: number) => void {
  const written = new Map<string, number>()
  return (source, fingerprints, at) => {
    for (const fingerprint of fingerprints) {
      const key = `${fingerprint} ${source}`
      const last = written.get(key)
      if (last !== undefined && Math.abs(at - last) < REFRESH_MS) continue
      written.set(key, at)
      save(source, fingerprint, at).catch(() => written.delete(key))
    }
  }
}
