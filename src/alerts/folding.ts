import type { Clock } from '../domain/clock.ts'
import { statementOf } from './conditions.ts'
import type { Alert } from './relay-event.ts'
import type { Schedule } from './schedule.ts'

/** Causes of one event about one subject that are not folded together. */
const MOST_KINDS = 5
/** Deliveries that an alert names. */
const MOST_NAMED = 5

export interface FoldingOptions {
  /** How long after one goes out its like are folded, in milliseconds. */
  readonly windowMs: number
  /** The same after the first of its kind, for what happens rather than lasts: how many there are should soon be known. */
  readonly firstWindowMs: number
  readonly schedule: Schedule
  readonly clock: Clock
  /** Sends out an alert that stands for `count` raisings, the last one `at`; false if that failed. Does not reject. */
  readonly emit: (alert: Alert, at: number, count: number) => Promise<boolean>
}

/** An alert, when it was raised (epoch milliseconds), and its place among all that were. */
interface Raised {
  readonly alert: Alert
  readonly at: number
  readonly order: number
}

/** Alerts of which only the latest state matters: all about one condition, or else those that are alike. */
interface Group {
  /** What is folded: the latest of each event, with how many it stands for. */
  readonly folded: Map<string, { last: Raised; count: number }>
  /** Windows that are open, by event. While something is folded, there is one. */
  readonly windows: Map<string, () => void>
  /** How many have been sent without a quiet window since. */
  sent: number
  /** The latest problem and the latest recovery, by their order. */
  latest: { problem: number; recovery: number }
  /** How many are being sent, and may come back. */
  sending: number
}

/**
 * Keeps one trouble from becoming a thousand events. Of alerts that are alike (the same event about the same subject)
 * the first goes out at once, and those of the window that follows together as one at its end, which begins the next
 * window. Of a condition, what goes out at the end of a window is how it is then: a problem that is over by then is not
 * told any more, nor a recovery that did not last, so the last alert about it is true. One that could not go out counts as
 * folded: it gets another chance at the end of the window, unless it is not true any more.
 */
export class Folding {
  readonly #options: FoldingOptions
  readonly #groups = new Map<string, Group>()
  readonly #sending = new Set<Promise<void>>()
  #raised = 0
  #stopped = false

  constructor(options: FoldingOptions) {
    this.#options = options
  }

  raise(alert: Alert): void {
    if (this.#stopped) return
    this.#raised += 1
    const raised = { alert, at: this.#options.clock.now(), order: this.#raised }
    const key = this.#keyOf(alert)
    const group = this.#groups.get(key) ?? newGroup()
    this.#groups.set(key, group)
    group.latest = { ...group.latest, [kindOf(alert)]: raised.order }
    if (group.folded.size === 0 && !group.windows.has(alert.event)) this.#send(key, group, raised, 1)
    else fold(group, raised, 1)
  }

  /** Causes have groups of their own, as many as an operator can read; those beyond share one. */
  #keyOf(alert: Alert): string {
    const key = groupOf(alert)
    if (alert.kind === undefined) return key
    const own = `${key} ${alert.kind}`
    const kinds = [...this.#groups.keys()].filter((each) => each.startsWith(`${key} `))
    return this.#groups.has(own) || kinds.length < MOST_KINDS ? own : key
  }

  /** Lets out at once what is folded; resolves when it is out. Nothing can be raised any more. */
  async stop(): Promise<void> {
    this.#stopped = true
    // One that is on its way may yet come back as folded.
    await Promise.all(this.#sending)
    for (const { folded, windows } of this.#groups.values()) {
      for (const cancel of windows.values()) cancel()
      for (const { last, count } of inOrder(folded)) this.#track(this.#options.emit(last.alert, last.at, count))
    }
    this.#groups.clear()
    await Promise.all(this.#sending)
  }

  #send(key: string, group: Group, raised: Raised, count: number): void {
    const { alert, at } = raised
    this.#open(key, group, alert)
    group.sending += 1
    const sent = this.#options.emit(alert, at, count).then((out) => {
      group.sending -= 1
      if (!out && isStillTrue(group, raised)) {
        // It may have taken longer than its window.
        if (group.windows.size === 0) this.#open(key, group, alert)
        fold(group, raised, count)
      }
      this.#forgetIfIdle(key, group)
    })
    this.#track(sent)
  }

  #open(key: string, group: Group, alert: Alert): void {
    const { event } = alert
    const { schedule, windowMs, firstWindowMs } = this.#options
    group.windows.get(event)?.()
    const ms = isLasting(alert) || group.sent > 0 ? windowMs : Math.min(windowMs, firstWindowMs)
    group.sent += 1
    group.windows.set(
      event,
      schedule(ms, () => this.#end(key, group, event)),
    )
  }

  #end(key: string, group: Group, event: string): void {
    group.windows.delete(event)
    const folded = inOrder(group.folded)
    group.folded.clear()
    for (const { last, count } of folded) this.#send(key, group, last, count)
    this.#forgetIfIdle(key, group)
  }

  #forgetIfIdle(key: string, group: Group): void {
    if (group.windows.size === 0 && group.sending === 0) this.#groups.delete(key)
  }

  #track(work: Promise<unknown>): void {
    const done = work.then(() => {})
    this.#sending.add(done)
    void done.then(() => this.#sending.delete(done))
  }
}

function newGroup(): Group {
  return { folded: new Map(), windows: new Map(), sent: 0, latest: { problem: 0, recovery: 0 }, sending: 0 }
}

function fold({ folded }: Group, raised: Raised, count: number): void {
  const { event } = raised.alert
  const kind = kindOf(raised.alert)
  for (const [other, { last }] of folded) if (kindOf(last.alert) !== kind) folded.delete(other)
  const known = folded.get(event)
  const last = known !== undefined && known.last.order > raised.order ? known.last : raised
  const deliveries = [...(known?.last.alert.deliveries ?? []), ...(raised.alert.deliveries ?? [])].slice(0, MOST_NAMED)
  const alert = deliveries.length > 0 ? { ...last.alert, deliveries } : last.alert
  folded.set(event, { last: { ...last, alert }, count: (known?.count ?? 0) + count })
}

/** Whether it is about a state, which may come and go. */
function isLasting({ event, facts }: Alert): boolean {
  return statementOf(event, facts) !== null
}

/** Whether nothing was raised since that says the opposite. */
function isStillTrue({ latest }: Group, { alert, order }: Raised): boolean {
  return order > (kindOf(alert) === 'problem' ? latest.recovery : latest.problem)
}

function inOrder(folded: Group['folded']): { last: Raised; count: number }[] {
  return [...folded.values()].sort((a, b) => a.last.order - b.last.order)
}

function kindOf({ event, facts }: Alert): 'problem' | 'recovery' {
  return statementOf(event, facts)?.recovers === true ? 'recovery' : 'problem'
}

function groupOf({ event, subject, facts }: Alert): string {
  return statementOf(event, facts)?.condition ?? `${event} ${subject}`
}
