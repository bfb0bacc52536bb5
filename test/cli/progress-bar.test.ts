import { PassThrough } from 'node:stream'
import t from 'tap'
import { createProgressBar } from '../../src/cli/progress-bar.ts'

/** What is written to a stream that is a terminal, or is not. */
function shownOn(isTTY: boolean): string {
  const output = Object.assign(new PassThrough(), { isTTY }) as unknown as NodeJS.WriteStream & PassThrough
  const bar = createProgressBar('copying', output)
  bar.show(0, 0)
  bar.show(1, 3)
  bar.end()
  return String(output.read() ?? '')
}

t.test('a bar is drawn over itself on a terminal, and taken away at the end', async (t) => {
  const line = (bar: string, percent: string) => `\r\u001b[Kcopying [${bar}] ${percent} %`
  t.equal(shownOn(true), `${line('#'.repeat(30), '100')}${line('#'.repeat(10) + '-'.repeat(20), ' 33')}\r\u001b[K`)
})

t.test('nothing is drawn where there is no terminal', async (t) => {
  t.equal(shownOn(false), '')
})
