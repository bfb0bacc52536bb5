import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { eventually } from './eventually.ts'

const RUN = fileURLToPath(new URL('./log-writing-run.js', import.meta.url))

function writing(...args: string[]): ChildProcess {
  return spawn(process.execPath, [RUN, ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
}

function parsed(output: string): { number?: number; msg: string; characters?: number }[] {
  return output
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
}

t.test('every line is written before the process ends, also where its reader is late', async (t) => {
  for (const count of [1, 100, 3_000]) {
    // The pipe is full when it begins to read, and a piece half written.
    const command = '"$0" "$@" | (sleep 0.3; cat)'
    const child = spawn('sh', ['-c', command, process.execPath, RUN, String(count)])
    const lines = parsed(await text(child.stdout))
    t.same(
      lines.map(({ number }) => number),
      Array.from({ length: count }, (_, number) => number),
    )
  }
})

t.test('a stdout that nobody reads does not keep the process from ending', async (t) => {
  const child = writing('5000')
  const [code] = await once(child, 'exit')
  t.equal(code, 0)
  child.stdout!.destroy()
})

t.test('what there was no room for is told of', async (t) => {
  const child = writing('25000', 'waits')
  child.stdin!.on('error', () => {})
  // More than may wait was written before anybody reads.
  await sleep(300)
  let output = ''
  child.stdout!.on('data', (chunk) => {
    output += chunk
  })
  await eventually(() => output.includes('log dropped'), 'it is told')
  child.stdin!.end('go\n')
  await once(child, 'close')
  const lines = parsed(output)
  const dropped = lines.find(({ msg }) => msg.startsWith('log dropped'))!
  const written = lines.filter(({ msg }) => msg === 'line').length
  t.ok(
    written < 25_000 && dropped.characters! > 1_000 * (25_000 - written),
    `${written} written, ${dropped.characters} not`,
  )
  t.equal(lines.at(-1)!.msg, 'one more')
})
