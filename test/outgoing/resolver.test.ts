import { execFile } from 'node:child_process'
import type { LookupAddress } from 'node:dns'
import { closeSync, copyFileSync, openSync, readFileSync } from 'node:fs'
import type { LookupFunction } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { isResolverFailure } from '../../src/domain/network-error.ts'
import { type AnswerLifetimes, type ResolveOptions, Resolver } from '../../src/outgoing/resolver.ts'
import { systemLookup } from '../../src/outgoing/system-lookup.ts'
import { createHttpExchanges } from '../../src/targets/http-exchange.ts'
import { eventually } from '../eventually.ts'
import { rawHttpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { running } from '../targets/sample-delivery.ts'

/** Also false for a process that has ended and that its parent has not asked about. */
function isRunning(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}

const armed = () => process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length
const failure = (code: string) => Object.assign(new Error(code), { code, syscall: 'getaddrinfo' })

/** A resolver whose look-ups are answered by the test, one after the other. */
function trial(lifetimes?: Partial<AnswerLifetimes>) {
  const asked: string[] = []
  const waiting: ((...answer: [Error | null, LookupAddress[]]) => void)[] = []
  const lookup: LookupFunction = (hostname, _options, callback) => {
    asked.push(hostname)
    waiting.push(callback)
  }
  const resolver = new Resolver(lookup, { freshMs: 0, staleMs: 0, missingMs: 0, ...lifetimes })
  return {
    resolver,
    asked,
    /** What the name resolves to, as text. */
    ask: (hostname = 'crm.internal', options: Partial<ResolveOptions> = {}) =>
      new Promise<string>((resolve) =>
        resolver.resolve(hostname, { timeoutMs: 60_000, ...options }, (error, found) =>
          resolve(error?.message ?? found.map(({ address }) => address).join()),
        ),
      ),
    answer(...addresses: string[]) {
      waiting.shift()!(
        null,
        addresses.map((address) => ({ address, family: 4 })),
      )
    },
    fail: (code: string) => waiting.shift()!(failure(code), []),
  }
}

t.test('connections that are made at once ask for a name once, later ones ask again', async (t) => {
  const { ask, asked, answer } = trial()
  const answers = [ask('crm.internal'), ask('CRM.internal'), ask('ops.internal'), ask('crm.internal')]
  t.same(asked, ['crm.internal', 'ops.internal'])
  answer('10.0.0.1')
  answer('10.0.0.2')
  t.same(await Promise.all(answers), ['10.0.0.1', '10.0.0.1', '10.0.0.2', '10.0.0.1'])
  const later = ask('crm.internal')
  t.equal(asked.length, 3)
  answer('10.0.0.3')
  t.equal(await later, '10.0.0.3')
})

t.test('an answer is used again while it is fresh, unless none of its addresses could be connected to', async (t) => {
  const { ask, asked, answer, resolver } = trial({ freshMs: 60_000 })
  const first = ask()
  answer('10.0.0.1')
  t.same([await first, await ask()], ['10.0.0.1', '10.0.0.1'])
  t.equal(asked.length, 1)
  resolver.distrust('crm.internal')
  const second = ask()
  answer('10.0.0.2')
  t.same([await second, await ask()], ['10.0.0.2', '10.0.0.2'])
  t.equal(asked.length, 2)
})

t.test('the last addresses are used while the resolver fails, and not once the name is known to be gone', async (t) => {
  const { ask, answer, fail } = trial({ staleMs: 60_000 })
  const first = ask()
  answer('10.0.0.1')
  await first
  for (const code of ['EAI_AGAIN', 'EAI_FAIL', 'EAI_MEMORY']) {
    const during = ask()
    fail(code)
    t.equal(await during, '10.0.0.1', code)
  }
  const current = ask('crm.internal', { isCurrent: true })
  fail('EAI_AGAIN')
  t.equal(await current, 'EAI_AGAIN', 'where it matters whether the name can be resolved now')
  const gone = ask()
  fail('ENOTFOUND')
  t.equal(await gone, 'ENOTFOUND')
  const after = ask()
  fail('EAI_AGAIN')
  t.equal(await after, 'EAI_AGAIN')
})

t.test('a known name waits for a slow resolver only for a moment, and its late answer counts', async (t) => {
  const { ask, asked, answer } = trial({ staleMs: 60_000 })
  const first = ask()
  answer('10.0.0.1')
  await first
  t.equal(await ask(), '10.0.0.1')
  t.equal(asked.length, 2, 'it is still being asked')
  const third = ask()
  answer('10.0.0.2')
  t.equal(await third, '10.0.0.2')
})

t.test('that a name does not exist is remembered for a moment, that the resolver failed is not', async (t) => {
  const { ask, asked, answer, fail } = trial({ missingMs: 100 })
  const gone = ask()
  fail('ENOTFOUND')
  t.same([await gone, await ask()], ['ENOTFOUND', 'ENOTFOUND'])
  t.equal(asked.length, 1)
  const isAskedAgain = async () => {
    const again = Promise.race([ask(), Promise.resolve('waiting')])
    return (await again) === 'waiting'
  }
  await eventually(isAskedAgain, 'it is asked for again')
  fail('EAI_AGAIN')
  const again = ask()
  answer('10.0.0.1')
  t.equal(await again, '10.0.0.1')
})

t.test('a wait for a name ends at its share of the timeout, and leaves no timer', async (t) => {
  const before = armed()
  const { ask, answer, asked, resolver } = trial()
  t.equal(await ask('crm.internal', { timeoutMs: 40 }), 'dns: no answer within 0.03s for crm.internal')
  const cancelled = resolver.resolve('crm.internal', { timeoutMs: 60_000 }, () => t.fail('was cancelled'))
  cancelled()
  t.equal(armed(), before)
  const waiting = ask()
  t.equal(asked.length, 1, 'the first look-up still goes on')
  answer()
  t.equal(await waiting, 'no address')
  t.equal(armed(), before)
})

t.test('an attempt that waited for its name says nothing about the target', async (t) => {
  const { origin } = await rawHttpServer(t, (request) => void request.resume())
  const { port } = new URL(origin)
  const send = async (lookup: LookupFunction, timeoutMs: number) => {
    const url = new URL(`http://crm.internal:${port}/`)
    const made = createHttpExchanges({ url, method: 'POST', timeoutMs, concurrency: 1, lookup })
    t.teardown(() => made.close())
    return made.send([], Buffer.from('{}'), running)
  }
  t.same(await send(() => {}, 1_000), {
    kind: 'failed',
    error: 'dns: no answer within 0.75s for crm.internal',
    unsent: true,
  })
  const failing: LookupFunction = (_hostname, _options, callback) => callback(failure('EAI_AGAIN'), [])
  t.same(await send(failing, 5_000), { kind: 'failed', error: `dns: EAI_AGAIN crm.internal:${port}`, unsent: true })
  const unknown: LookupFunction = (_hostname, _options, callback) => callback(failure('ENOTFOUND'), [])
  t.same(await send(unknown, 5_000), { kind: 'failed', error: `dns: ENOTFOUND crm.internal:${port}` })
  const slow: LookupFunction = (_hostname, _options, callback) =>
    void setTimeout(callback, 300, null, [{ address: '127.0.0.1', family: 4 }])
  t.match(await send(slow, 600), {
    kind: 'failed',
    error: /^timeout: no complete answer within 0\.6s; resolving the name took 0\.[3-6]s$/,
    unsent: true,
  })
})

t.test('the process that resolves names is started again, and keeps nothing alive', async (t) => {
  const resolver = new Resolver(systemLookup.lookup)
  const ask = (hostname: string) =>
    new Promise<{ error: Error | null; addresses: string[] }>((resolve) =>
      resolver.resolve(hostname, { timeoutMs: 60_000 }, (error, found) =>
        resolve({ error, addresses: found.map(({ address }) => address) }),
      ),
    )
  const { addresses } = await ask('localhost')
  t.ok(addresses.some((address) => address === '127.0.0.1' || address === '::1'))
  const first = systemLookup.pid!
  const during = ask('localhost')
  process.kill(first, 'SIGKILL')
  t.same(await during, { error: null, addresses })
  const { error } = await ask('crm.invalid')
  t.not(systemLookup.pid, first)
  t.match(error, { syscall: 'getaddrinfo', hostname: 'crm.invalid' })
  t.equal(isResolverFailure(error), (error as NodeJS.ErrnoException).code !== 'ENOTFOUND')
})

t.test('the process ends with this one even while it is stopped', async (t) => {
  const module = new URL('../../src/outgoing/system-lookup.js', import.meta.url).href
  const program = `
    import { systemLookup } from ${JSON.stringify(module)}
    setTimeout(() => {}, 30_000)
    systemLookup.lookup('localhost', {}, () => {
      process.kill(systemLookup.pid, 'SIGSTOP')
      console.log(systemLookup.pid)
      process.exit()
    })`
  // Without the hooks of the test runner.
  const { stdout } = await promisify(execFile)('/usr/bin/env', [
    '-u',
    'NODE_OPTIONS',
    process.execPath,
    '--input-type=module',
    '--eval',
    program,
  ])
  const pid = Number(stdout)
  t.ok(pid > 0)
  await eventually(() => !isRunning(pid), 'the process has ended')
})

// The last one: the process is not started again for a minute.
t.test('names are resolved here where the process cannot be started', async (t) => {
  const program = join(scratch(t), 'node')
  copyFileSync('/bin/true', program)
  const file = openSync(program, 'r+')
  const { execPath } = process
  t.teardown(() => {
    closeSync(file)
    process.execPath = execPath
  })
  // A file that is open for writing cannot be executed, and Node throws that (ETXTBSY).
  process.execPath = program
  const { pid } = systemLookup
  if (pid !== undefined) process.kill(pid, 'SIGKILL')
  await eventually(() => systemLookup.pid === undefined, 'the process has ended')
  const resolver = new Resolver(systemLookup.lookup)
  for (const _ of [1, 2]) {
    const found = await new Promise((resolve) =>
      resolver.resolve('localhost', { timeoutMs: 10_000 }, (...result) => resolve(result)),
    )
    t.match(found, [null, [{ address: /^(127\.0\.0\.1|::1)$/ }]])
  }
})
