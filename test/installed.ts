import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { isBundleCurrent } from './main.ts'

interface Description {
  readonly dependencies: Readonly<Record<string, string>>
  readonly optionalDependencies: Readonly<Record<string, string>>
}

/**
 * Packs the package and has `npm install -g` install the tarball into a directory of its own; gives that. Without the
 * network: the tarball loses its list of dependencies on the way, and each that was in the list is linked to the clone's
 * (the native module as it is built there). What the list lacks is missing then, as it would be for a user.
 */
export function installPackage(directory: string): string {
  if (!isBundleCurrent()) npm(['run', 'bundle'], '.')
  // The scripts would build once more, under the feet of other tests.
  const tarball = npm(['pack', '--silent', '--ignore-scripts', '--pack-destination', directory], '.').trim()
  execFileSync('tar', ['-xzf', tarball], { cwd: directory })
  const unpacked = join(directory, 'package')
  const file = join(unpacked, 'package.json')
  const { dependencies, optionalDependencies, ...rest } = JSON.parse(readFileSync(file, 'utf8')) as Description
  writeFileSync(file, JSON.stringify(rest))
  const prefix = join(directory, 'prefix')
  const options = ['--prefix', prefix, '--offline', '--ignore-scripts', '--no-audit', '--no-fund']
  npm(['install', '--global', '--install-links', ...options, '.'], unpacked)
  const modules = join(prefix, 'lib', 'node_modules', 'ultravox-relay', 'node_modules')
  for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) link(name, modules)
  return prefix
}

function link(name: string, modules: string): void {
  const here = resolve('node_modules', name)
  // An optional one is not there everywhere.
  if (!existsSync(here)) return
  const there = join(modules, name)
  mkdirSync(dirname(there), { recursive: true })
  symlinkSync(here, there)
}

/** npm without the test runner's hooks, and without whatever the npm that runs the tests has set. */
function npm(args: readonly string[], cwd: string): string {
  const own = ['-i', `PATH=${process.env.PATH}`, `HOME=${process.env.HOME}`]
  return execFileSync('/usr/bin/env', [...own, 'npm', ...args], {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}
