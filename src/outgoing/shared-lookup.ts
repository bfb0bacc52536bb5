import { lookup as systemLookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { inTurns, lookupsAtOnce } from './lookup-turns.ts'

/** One for the whole process, as what it takes turns at. */
const systemInTurns = inTurns(
  systemLookup as LookupFunction,
  lookupsAtOnce(process.env.UV_THREADPOOL_SIZE),
  performance.now.bind(performance),
)

/**
 * Asks for a name once, however many connections wait for the answer. The system answers only a few questions at a time,
 * for the whole process, and takes many seconds over a name server that is silent: one target's eight connections must not
 * make every other target wait for its name.
 */
export function shared(lookup: LookupFunction = systemInTurns): LookupFunction {
  const waiting = new Map<string, Parameters<LookupFunction>[2][]>()

  return (hostname, options, callback) => {
    const question = JSON.stringify([hostname, options.family, options.hints, options.all, options.order])
    const asked = waiting.get(question)
    if (asked !== undefined) return void asked.push(callback)
    const callbacks = [callback]
    waiting.set(question, callbacks)
    lookup(hostname, options, (...answer) => {
      waiting.delete(question)
      for (const each of callbacks) each(...answer)
    })
  }
}
