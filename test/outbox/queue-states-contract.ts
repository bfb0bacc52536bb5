import { readFileSync } from 'node:fs'
import t from 'tap'
import { scratch } from '../scratch.ts'
import type { OpenOutbox } from './queue-fixture.ts'
import { scenarios } from './queue-states.ts'

/** A storage engine, with every way into one outbox. */
export interface Engine {
  /** Opens what a directory holds, creating it if it is missing. */
  open(directory: string): Promise<OpenOutbox>
  /**
   * Closes an outbox, and leaves in its files what they hold before that: as if the process had been killed. `aside`: an empty
   * directory.
   */
  crash(open: OpenOutbox, directory: string, aside: string): Promise<void>
}

const PAGE = new URL('../../../docs/concepts/retries-and-order.md', import.meta.url)

/** The rows of "What changes a state": by `state: what happens`, the result. */
function stateTable(): ReadonlyMap<string, string> {
  const [, section = ''] = /\n## What changes a state\n(.*?)\n## /s.exec(readFileSync(PAGE, 'utf8')) ?? []
  const rows = section.split('\n').flatMap((line) => {
    const [, cells] = /^\| (.*) \|$/.exec(line) ?? []
    return cells === undefined ? [] : [cells.split(' | ')]
  })
  // The first is the heading.
  return new Map(rows.slice(1).map(([state, happens, result]) => [`${state}: ${happens}`, String(result)]))
}

/** Every engine keeps every row of the state table in docs/concepts/retries-and-order.md. */
export function queueStatesContract(name: string, engine: Engine): void {
  const table = stateTable()

  t.test(`${name}: every row of the state table has a scenario, and every scenario a row`, async (t) => {
    t.same([...table.keys()].sort(), Object.keys(scenarios).sort())
  })

  t.test(`${name}: a delivery changes its state as the state table says`, async (t) => {
    const directory = scratch(t)
    let sides = await engine.open(directory)
    t.teardown(() => closeAll(sides))
    const crash = async () => {
      await engine.crash(sides, directory, scratch(t))
      sides = await engine.open(directory)
      return sides
    }
    let row = 0
    for (const [key, result] of table) {
      row += 1
      const target = `target-${row}`
      await t.test(key, async (t) => t.equal(await scenarios[key]?.({ ...sides, crash, t, target }), result))
    }
  })
}

export async function closeAll({ maintenance, operator, outbox }: OpenOutbox): Promise<void> {
  await maintenance.close()
  await operator.close()
  await outbox.close()
}
