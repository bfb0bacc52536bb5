import type { LookupFunction } from 'node:net'

/** Names that are remembered: those of recordings' hosts come from answers, so there may be any number of them. */
const MOST_NAMES = 1_000

/** How soon a name server that works has answered. */
const PROMPT_MS = 1_000

/**
 * Bounds the look-ups under way. Names that were answered promptly last time are asked for at once; one of the look-ups
 * that the system works on at a time is left to them. All other names share the rest, new ones before those that were
 * slow. The system takes ten seconds or more over each name of a silent name server, and names with one must not hold up
 * the others.
 */
export function inTurns(lookup: LookupFunction, atOnce: number, now: () => number): LookupFunction {
  const most = Math.max(1, atOnce - 1)
  const isPrompt = new Map<string, boolean>()
  const waiting: { readonly hostname: string; readonly start: () => void }[] = []
  let underWay = 0

  function remember(hostname: string, wasPrompt: boolean): void {
    // Again at the end, so that the first is the one not asked for the longest.
    isPrompt.delete(hostname)
    isPrompt.set(hostname, wasPrompt)
    if (isPrompt.size > MOST_NAMES) isPrompt.delete(isPrompt.keys().next().value!)
  }

  function next(): void {
    if (underWay >= most || waiting.length === 0) return
    const first = waiting.findIndex(({ hostname }) => !isPrompt.has(hostname))
    const [turn] = waiting.splice(Math.max(0, first), 1)
    underWay++
    turn!.start()
  }

  return (hostname, options, callback) => {
    const ask = (ended: () => void) => {
      const askedAt = now()
      lookup(hostname, options, (...answer) => {
        remember(hostname, now() - askedAt <= PROMPT_MS)
        ended()
        callback(...answer)
      })
    }
    if (isPrompt.get(hostname)) return ask(() => {})
    const end = () => {
      underWay--
      next()
    }
    waiting.push({ hostname, start: () => ask(end) })
    next()
  }
}
