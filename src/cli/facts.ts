import { styled } from './style.ts'
import { oneLine } from './table.ts'

/** What is known of one thing, a line a fact under each other; those without a value are left out. */
export function factLines(facts: readonly (readonly [name: string, value: string | null])[]): string {
  const width = Math.max(...facts.map(([name]) => name.length))
  return facts
    .flatMap(([name, value]) => (value === null ? [] : [`${styled('dim', name.padEnd(width))}  ${oneLine(value)}\n`]))
    .join('')
}
