import { cpSync, existsSync, readdirSync, readFileSync } from 'node:fs'

/**
 * Bundles the program into build/bundle. A command then reads a few files instead of 500, which halves the time that it takes to
 * start. Nothing is renamed, so stack traces keep their names; with `node --enable-source-maps` they show the sources.
 *
 * Threads and processes find their program beside the bundle by its file name (`new URL('./worker.js', import.meta.url)`), so all
 * files are in one folder. That folder is as deep as build/src, because `version.ts` reads ../../package.json.
 */
const OUTPUT = 'build/bundle'
const MIGRATIONS = 'src/outbox/sqlite/migrations'

/** Modules that are native, or optional and loaded only when the configuration asks for them. */
const external = [/^better-sqlite3/, /^@opentelemetry\//]

const common = { platform: 'node', external, checks: { ineffectiveDynamicImport: false } }
const output = {
  dir: OUTPUT,
  format: 'esm',
  sourcemap: true,
  entryFileNames: '[name].js',
  chunkFileNames: '[name]-[hash].js',
}

/** Groups of modules. Each file costs about 0.7 ms to load, each that is not needed some more. */
const groups = [
  // `--version` loads nothing else.
  { name: 'start', test: /\/src\/(version|cli\/(output|working-directory))\.ts$/, priority: 2 },
  // Most commands need these: the configuration, what they print, the outbox.
  { name: 'core', minShareCount: 8, priority: 1 },
]

export default [
  {
    ...common,
    input: { main: 'src/cli/main.ts' },
    output: { ...output, codeSplitting: { groups }, cleanDir: true },
    plugins: [migrations(), licences()],
  },
  {
    // Apart from the commands, so that no thread loads what only they need.
    ...common,
    input: {
      worker: 'src/outbox/sqlite/worker.ts',
      'operator-worker': 'src/outbox/sqlite/operator-worker.ts',
      'expression-process': 'src/expressions/expression-process.ts',
      'expression-thread': 'src/expressions/expression-thread.ts',
      'reader-process': 'src/config/reader-process.ts',
      'launcher-process': 'src/targets/launcher-process.ts',
      'lookup-process': 'src/outgoing/lookup-process.ts',
    },
    output,
  },
  {
    // `npm run demo`, so that it does not wait for the compiler.
    ...common,
    input: { demo: 'test/demo/demo.ts' },
    output: { ...output, dir: 'build/demo' },
  },
]

function migrations() {
  return {
    name: 'migrations',
    writeBundle: () => {
      cpSync(MIGRATIONS, `${OUTPUT}/migrations`, { recursive: true })
    },
  }
}

/** Writes the licence of each package in the bundle beside it, as those licences ask for. */
function licences() {
  return {
    name: 'licences',
    generateBundle(_, bundle) {
      const modules = Object.values(bundle).flatMap((file) => (file.type === 'chunk' ? Object.keys(file.modules) : []))
      const packages = modules.map((id) => /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(id)?.[1])
      const texts = [...new Set(packages)].filter((each) => each !== undefined && existsSync(each)).map(licenceOf)
      this.emitFile({ type: 'asset', fileName: 'LICENSES.txt', source: texts.sort().join('\n') })
    },
  }
}

function licenceOf(folder) {
  const { name, version, license } = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'))
  const files = readdirSync(folder).filter((file) => /^(licen[cs]e|notice)/i.test(file))
  const texts = files.map((file) => readFileSync(`${folder}/${file}`, 'utf8').trim())
  return `${name} ${version} (${license})\n\n${texts.join('\n\n')}\n`
}
