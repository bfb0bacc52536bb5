import type { LookupFunction } from 'node:net'

/** Names that are remembered: those of recordings' hosts come from answers, so there may be any number of them. */
const MOST_NAMES = 1_000

/** How soon a name server that works has answered. */
const PROMPT_MS = 1_000

/** How many look-ups the system works on at once: libuv keeps half of its threads for other work, and has 4 by default. */
export function lookupsAtOnce(threads: string | undefined): number {
  const size = Number(threads)
  return Math.floor(((Number.isInteger(size) && size > 0 ? size : 4) + 1) / 2)
}

/**
 * Look-ups of names that were answered promptly last time start at once; one of those that the system works on at a time
 * is left to them. All other names share the rest, new ones before those that were slow. For the system takes ten seconds or more
 * over each name of a silent name server, and two of them were enough to hold up every new connection of every target.
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
