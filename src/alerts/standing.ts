import { type Statement, statementOf } from './conditions.ts'
import type { Alert } from './relay-event.ts'

/** An event of the relay's own that is on record. */
export interface RecordedAlert {
  readonly event: string
  /** Of its payload; empty where that is pruned. */
  readonly facts: Readonly<Record<string, unknown>>
}

/** What was last said of a condition: the problems that are said to exist, by their words, and the latest words. */
interface Standing {
  readonly problems: ReadonlySet<string>
  readonly last: string
}

/**
 * Knows what was said of each condition, so that what is said last is true: nothing is said twice, a recovery only follows
 * a problem, and where one of several problems has gone without a word, another one that remains is repeated. What was
 * said before a restart is read from the record: an alert that was lost in a crash was never said.
 */
export class Standings {
  readonly #standings = new Map<string, Standing>()

  /** Takes up what is on record, the oldest first. */
  resume(recorded: readonly RecordedAlert[]): void {
    for (const { event, facts } of recorded) {
      const statement = statementOf(event, facts)
      if (statement !== null) this.#said(statement)
    }
  }

  /** Whether an alert is news. It then counts as said. */
  isNews({ event, facts }: Alert): boolean {
    const statement = statementOf(event, facts)
    if (statement === null) return true
    const { problems } = this.#standings.get(statement.condition) ?? {}
    if (!statement.recovers && problems?.has(statement.words) === true) return false
    this.#said(statement)
    return true
  }

  /** Whether a recovery ends a problem that was said to exist. */
  isRecovery({ event, facts }: Alert): boolean {
    const statement = statementOf(event, facts)
    return statement !== null && (this.#standings.get(statement.condition)?.problems.size ?? 0) > 0
  }

  /** Of all that is wrong with one condition now, what has to be said. */
  toSay(problems: readonly Alert[]): readonly Alert[] {
    const said = problems.map((alert) => ({ alert, statement: statementOf(alert.event, alert.facts)! }))
    const { condition } = said[0]!.statement
    const standing = this.#standings.get(condition)
    const fresh = said.filter(({ statement }) => standing?.problems.has(statement.words) !== true)
    const isLastTrue = said.some(({ statement }) => statement.words === standing?.last)
    const news = fresh.length > 0 || isLastTrue ? fresh : said.slice(0, 1)
    this.#standings.set(condition, {
      problems: new Set(said.map(({ statement }) => statement.words)),
      last: news.at(-1)?.statement.words ?? standing!.last,
    })
    return news.map(({ alert }) => alert)
  }

  #said({ condition, recovers, words }: Statement): void {
    const before = this.#standings.get(condition)?.problems ?? []
    this.#standings.set(condition, { problems: new Set(recovers ? [] : [...before, words]), last: words })
  }
}
