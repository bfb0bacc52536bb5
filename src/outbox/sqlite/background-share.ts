import type { DueIds } from './deliveries.ts'

/** So many live deliveries go before one in the background, if both are due. */
const LIVE_IN_A_ROW = 9

/**
 * Gives background deliveries of each target their share: live ones go first, but live traffic that never pauses must not keep
 * a replay from ending. In memory, because one process claims everything.
 */
export class BackgroundShare {
  /** By target, the live deliveries claimed since the last background one. */
  readonly #liveInRow = new Map<string, number>()

  /** Whether one of the next `count` deliveries is a background one, however many live ones are due. */
  isDueWithin(target: string, count: number): boolean {
    return this.#of(target) + count > LIVE_IN_A_ROW
  }

  /** What is due, in the order in which it is claimed. */
  inTurn(target: string, { live, background }: DueIds): number[] {
    if (background.length === 0) return [...live]
    const order: number[] = []
    let [nextLive, nextBackground, since] = [0, 0, this.#of(target)]
    while (nextLive < live.length || nextBackground < background.length) {
      const isLive = nextLive < live.length && (since < LIVE_IN_A_ROW || nextBackground === background.length)
      order.push(isLive ? live[nextLive++]! : background[nextBackground++]!)
      since = isLive ? since + 1 : 0
    }
    return order
  }

  claimed(target: string, isBackground: boolean): void {
    this.#liveInRow.set(target, isBackground ? 0 : Math.min(this.#of(target) + 1, LIVE_IN_A_ROW))
  }

  #of(target: string): number {
    return this.#liveInRow.get(target) ?? 0
  }
}
