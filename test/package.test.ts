import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { bodyOf, send } from './daemon/ultravox-sender.ts'
import { installPackage } from './installed.ts'
import { scratch } from './scratch.ts'

t.test('the package, installed into an empty place, is a relay that works', async (t) => {
  const directory = scratch(t)
  const prefix = installPackage(directory)
  const installed = join(prefix, 'lib', 'node_modules', 'ultravox-relay')
  for (const file of ['config/relay.schema.json', 'systemd/ultravox-relay.service', 'systemd/ultravox-relay.socket']) {
    t.ok(existsSync(join(installed, file)), file)
  }
  t.notOk(existsSync(join(installed, 'build', 'test')), 'without its tests')

  const empty = join(directory, 'empty')
  mkdirSync(empty)
  const env = ['-i', `PATH=${join(prefix, 'bin')}:${dirname(process.execPath)}:/usr/bin:/bin`]
  const run = (...args: string[]) => spawnSync('/usr/bin/env', [...env, 'ultravox-relay', ...args], { cwd: empty })
  t.equal(run('init').status, 0)
  t.equal(run('check').status, 0, 'its example is complete')
  const config = join(empty, 'relay.yaml')
  writeFileSync(config, readFileSync(config, 'utf8').replace(/listen: .*/, 'listen: 127.0.0.1:0'))

  const relay = spawn('/usr/bin/env', [...env, 'ultravox-relay', 'serve'], {
    cwd: empty,
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  t.teardown(() => relay.kill('SIGKILL'))
  const lines = createInterface(relay.stdout!)
  let listen = ''
  for await (const line of lines) {
    const entry = JSON.parse(line) as { msg: string; listen: string }
    if (entry.msg !== 'relay started') continue
    listen = entry.listen
    break
  }
  relay.stdout!.resume()
  for (const [command, limit] of [
    ['--version', 10],
    ['status', 50],
    ['events list', 50],
  ] as const) {
    const { files, bytes } = loadedBy(join(installed, 'build/bundle/main.js'), command, empty)
    t.ok(files > 1 && files <= limit, `${command} loads at most ${limit} files: ${files}`)
    t.ok(bytes < 1_500_000, `of 1.5 MB together: ${bytes}`)
  }
  const secret = readFileSync(join(empty, 'relay.secret'), 'utf8').trim()
  const { status } = await send(`http://${listen}/webhooks/ultravox`, bodyOf('call.ended'), { secret })
  t.equal(status, 204, 'with its migrations and its worker')
  t.match(run('status', '--json').stdout.toString(), /"running":\s*true/)
  relay.kill('SIGTERM')
  t.same(await once(relay, 'exit'), [0, null])

  const untraced = readFileSync(config, 'utf8')
  writeFileSync(config, `${untraced}\ntracing: { otlp: "http://127.0.0.1:4318" }\n`)
  t.equal(run('check').status, 0)
  // As npm leaves it with --omit=optional.
  rmSync(join(installed, 'node_modules', '@opentelemetry'), { recursive: true })
  for (const command of ['check', 'serve']) {
    const { status, stderr } = run(command)
    t.equal(status, 2)
    t.match(
      stderr.toString(),
      /tracing: needs packages that are not installed: .*@opentelemetry\/sdk-trace.*--omit=optional/,
    )
  }
  writeFileSync(config, untraced)
  t.equal(run('check').status, 0, 'without tracing it needs none of them')
})

/** How many files of the package a command loads, which is most of the time that it takes to start, and their size. */
function loadedBy(main: string, command: string, cwd: string): { files: number; bytes: number } {
  const directory = join(cwd, 'coverage')
  const env = ['-i', `NODE_V8_COVERAGE=${directory}`]
  spawnSync('/usr/bin/env', [...env, process.execPath, main, ...command.split(' ')], { cwd })
  const [report] = readdirSync(directory)
  const { result } = JSON.parse(readFileSync(join(directory, report!), 'utf8')) as { result: { url: string }[] }
  rmSync(directory, { recursive: true })
  const files = result.map(({ url }) => url).filter((url) => url.startsWith('file:'))
  return { files: files.length, bytes: files.reduce((sum, url) => sum + statSync(new URL(url)).size, 0) }
}
