import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { freePort, rawHttpServer } from './local-server.ts'
import { scratch } from './scratch.ts'

interface Locked {
  readonly name?: string
  readonly version: string
  readonly resolved?: string
  readonly integrity?: string
  readonly license?: string
  readonly dev?: boolean
  readonly hasInstallScript?: boolean
}

type Names = Readonly<Record<string, unknown>>

const read = (file: string) => readFileSync(file, 'utf8')
const description = JSON.parse(read('package.json')) as {
  readonly allowScripts: Names
  readonly dependencies: Names
  readonly optionalDependencies: Names
  readonly devDependencies: Names
  readonly overrides: Names
}
const lock = JSON.parse(read('package-lock.json')) as { readonly packages: Readonly<Record<string, Locked>> }
const packages = Object.entries(lock.packages)
  .filter(([path]) => path !== '')
  .map(([path, locked]) => ({ path, name: locked.name ?? path.replace(/^.*node_modules\//, ''), ...locked }))
const inProduction = packages.filter(({ dev }) => dev !== true)

t.test('only packages that are approved by name may run something when they are installed', async (t) => {
  const scripted = packages.filter(({ hasInstallScript }) => hasInstallScript).map(({ name }) => name)
  t.same([...new Set(scripted)].sort(), Object.keys(description.allowScripts).sort())
})

t.test('the lock file names no registry, and the checksum of every package', async (t) => {
  const pathsOf = (is: (each: Locked) => boolean) => packages.filter(is).map(({ path }) => path)
  t.ok(packages.length > 100, 'the packages were found')
  t.same(
    pathsOf(({ resolved }) => resolved !== undefined),
    [],
    'none from a place of its own',
  )
  t.same(
    pathsOf(({ version }) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)),
    [],
    'none from an address',
  )
  t.same(
    pathsOf(({ integrity }) => !/^sha512-[\w+/]{86}==$/.test(integrity ?? '')),
    [],
    'none without a checksum',
  )
})

/** Licences under which what is built on a package may be used and passed on by anybody, whatever they do with it. */
const PERMISSIVE = ['0BSD', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'BlueOak-1.0.0', 'ISC', 'MIT', 'Unlicense']

/** Whether an SPDX expression (names, AND, OR, brackets) leaves a permissive choice. None at all leaves none. */
function isPermissive(expression = ''): boolean {
  const inner = /^\(([^()]*)\)$/.exec(expression)?.[1] ?? expression
  const choices = inner.split(' OR ').map((choice) => choice.split(' AND '))
  return choices.some((all) => all.every((name) => PERMISSIVE.includes(name)))
}

t.test('all that a production install brings may be used by anybody', async (t) => {
  t.same(
    inProduction.filter(({ license }) => !isPermissive(license)).map(({ name, license }) => [name, license]),
    [],
  )
  for (const yes of ['MIT', '(MIT OR GPL-3.0-only)', 'MIT AND ISC']) t.ok(isPermissive(yes), yes)
  for (const no of [undefined, 'GPL-3.0-only', '(MIT AND GPL-3.0-only)', 'SEE LICENSE IN x']) t.notOk(isPermissive(no))
})

t.test('of each dependency it is written down what it is for', async (t) => {
  const { dependencies, optionalDependencies, devDependencies, overrides } = description
  const written = read('docs/dependencies.md')
  const isWritten = (name: string) => new RegExp(`(^|[^\\w@/-])${name}(?![\\w/-])`, 'm').test(written)
  const names = Object.keys({ ...dependencies, ...optionalDependencies, ...devDependencies, ...overrides })
  t.same(
    names.filter((name) => !isWritten(name)),
    [],
  )
  t.notOk(isWritten('sqlite3'), 'a part of a name is none')
})

/** Runs one of our scripts as CI does, without the test runner's hooks. */
async function run(command: string, env: Names = {}) {
  const variables = Object.entries({ PATH: process.env.PATH, HOME: process.env.HOME, ...env })
  const own = ['-i', ...variables.map(([name, value]) => `${name}=${value}`)]
  const child = spawn('/usr/bin/env', [...own, command], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [printed, [code]] = await Promise.all([text(child.stdout), once(child, 'close')])
  return { code: code as number, printed }
}

t.test('the bill of materials has all that a production install brings, and nothing else', async (t) => {
  const { code, printed } = await run('.ci/sbom')
  t.equal(code, 0)
  const bill = JSON.parse(printed) as {
    metadata: { component: { name: string } }
    components: { purl: string; licenses: unknown[]; hashes: unknown[] }[]
  }
  t.match(bill, { bomFormat: 'CycloneDX', metadata: { component: { name: 'ultravox-relay' } } })
  // The names that packages have, not those that we have for them.
  const named = inProduction.map(({ path, name = path, version }) => `pkg:npm/${name.replace('@', '%40')}@${version}`)
  t.same([...new Set(bill.components.map(({ purl }) => purl))].sort(), [...new Set(named)].sort())
  t.same(
    bill.components.filter(({ licenses, hashes }) => licenses.length === 0 || hashes.length === 0),
    [],
  )
})

t.test('an audit fails at a grave finding, and says when it cannot be had', async (t) => {
  // npm keeps what it has heard of a hole, and is not to believe it the next time, here or anywhere.
  const audit = (registry: string) => run('.ci/audit', { npm_config_registry: registry, npm_config_cache: scratch(t) })
  const known = (severity: string) => {
    const advisory = { id: 1, url: 'https://advisories.invalid/1', title: 'a hole', severity, vulnerable_versions: '*' }
    return JSON.stringify({ undici: [{ ...advisory, cwe: [], cvss: { score: 0, vectorString: null } }] })
  }
  async function registry(status: number, body: string) {
    const { origin } = await rawHttpServer(t, (request, response) => {
      request.resume()
      // An npm before 11 asks again at another address.
      const isAudit = request.method === 'POST'
      response.writeHead(isAudit ? status : 404, { 'content-type': 'application/json' }).end(isAudit ? body : '{}')
    })
    return origin
  }
  const [grave, slight, clean, refused, unreachable] = await Promise.all([
    registry(200, known('high')).then(audit),
    registry(200, known('low')).then(audit),
    registry(200, '{}').then(audit),
    registry(405, '').then(audit),
    freePort().then((port) => audit(`http://127.0.0.1:${port}`)),
  ])
  t.equal(grave.code, 1)
  t.match(grave.printed, /^audit: undici.*, high: a hole$/m)
  for (const { code, printed } of [slight, clean]) {
    t.equal(code, 0)
    t.match(printed, /^audit: no known hole of high severity$/m)
  }
  for (const { code, printed } of [refused, unreachable]) {
    t.equal(code, 0)
    t.match(printed, /^audit: SKIPPED, .*(405|ECONNREFUSED)/m)
  }
})
