import { PassThrough } from 'node:stream'
import t, { type Test } from 'tap'
import { confirm, type Terminal } from '../../src/cli/confirm.ts'

function terminal(isTTY: boolean): Terminal & { readonly input: PassThrough; readonly output: PassThrough } {
  return {
    input: Object.assign(new PassThrough(), { isTTY }),
    output: Object.assign(new PassThrough({ encoding: 'utf8' }), { isTTY }),
  }
}

async function answered(t: Test, answer: string | null): Promise<boolean> {
  const { input, output } = terminal(true)
  const before = process.exitCode
  t.teardown(() => {
    process.exitCode = before
  })
  const agreed = confirm('17 deliveries would be retried', undefined, { input, output })
  if (answer === null) input.end()
  else input.write(answer)
  const result = await agreed
  t.match(output.read(), '17 deliveries would be retried. Go on? [y/N]')
  t.equal(process.exitCode, result ? before : 1)
  process.exitCode = before
  return result
}

t.test('on a terminal it is asked, and only a clear yes is one', async (t) => {
  for (const yes of ['y\n', 'Y\n', 'yes\n', ' y \n']) t.equal(await answered(t, yes), true, yes)
  for (const no of ['\n', 'n\n', 'yess\n', 'no\n']) t.equal(await answered(t, no), false, no)
  t.equal(await answered(t, null), false, 'nobody there any more')
})

t.test('--yes is told what would be done, and not asked', async (t) => {
  for (const isTTY of [true, false]) {
    const { input, output } = terminal(isTTY)
    t.equal(await confirm('17 deliveries would be retried', true, { input, output }), true)
    t.equal(output.read(), '17 deliveries would be retried\n')
  }
})

t.test('where nobody can be asked, it is refused', async (t) => {
  const there = terminal(true)
  const piped = terminal(false)
  for (const each of [piped, { ...there, input: piped.input }, { ...there, output: piped.output }]) {
    await t.rejects(confirm('17 deliveries would be retried', undefined, each), {
      code: 'usage',
      message: /^17 deliveries would be retried; say --yes/,
    })
  }
})
