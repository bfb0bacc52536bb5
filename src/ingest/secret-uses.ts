/** Records that secrets of a source have signed a genuine event: fingerprints as in `SecretUse`, epoch milliseconds. */
export type SaveSecretUse = (source: string, fingerprint: string, at: number) => Promise<void>

/** A set of secrets is recorded at most once in this time. A rotation adds it to what it waits (`cli/rotation.ts`). */
const REFRESH_MS = 1_000

/**
 * Records which secrets sign genuine events, so that a rotation knows when the new one is in use and the old one alone is
 * not. An event signed with two secrets counts for the pair, not for each: only then can it be told from one that was
 * signed with the old secret alone. Nothing waits for the write; where it fails, the next event makes up for it.
 */
export function createSecretUses(
  save: SaveSecretUse,
): (source: string, fingerprints: readonly string[], at: number) => void {
  const written = new Map<string, number>()
  return (source, fingerprints, at) => {
    if (fingerprints.length === 0) return
    const signers = fingerprints.length === 1 ? fingerprints[0]! : [...new Set(fingerprints)].sort().join(' ')
    const key = `${source} ${signers}`
    const last = written.get(key)
    if (last !== undefined && Math.abs(at - last) < REFRESH_MS) return
    written.set(key, at)
    save(source, signers, at).catch(() => written.delete(key))
  }
}
