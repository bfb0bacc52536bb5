import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path/posix'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'

const SRC = fileURLToPath(new URL('../../src', import.meta.url))

const FILES = readdirSync(SRC, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => relative(SRC, join(entry.parentPath, entry.name)))
  .sort()
const SOURCES = FILES.filter((file) => file.endsWith('.ts'))

const textOf = (file: string) => readFileSync(join(SRC, file), 'utf8')

const OUTBOX = 'outbox/outbox.ts'
const OPERATOR = 'outbox/operator.ts'
const MAINTENANCE = 'outbox/maintenance.ts'
const LOCK_FILE = 'outbox/lock-file.ts'
const TARGET_CONNECTION = 'target-connection.ts'
const RECONCILIATION = 'outbox/reconciliation.ts'
const ATTACHMENTS = 'outbox/attachments.ts'
const RETENTION = 'outbox/retention.ts'
/** The commands work on an outbox beside the daemon; which storage it is, only this file of theirs knows. */
const OPEN_OUTBOX = 'cli/open-outbox.ts'
const ALL_BUT_CLI = [
  'domain',
  'config',
  'outbox',
  'sources',
  'targets',
  'delivery',
  'ingest',
  'alerts',
  'ultravox',
  'admin',
  'upkeep',
]

/**
 * Who may import whom: the table of the design. A folder stands for all that is in it, a file for itself. On top of it,
 * files of the same part may import each other, and everybody `version.ts`.
 */
const MAY_IMPORT: Record<string, readonly string[]> = {
  domain: [],
  'mounts.ts': ['file-system.ts'],
  'file-system.ts': [],
  'process-freeze.ts': ['domain'],
  'process-identity.ts': [],
  'partial-file.ts': ['domain', 'file-system.ts', 'process-identity.ts'],
  'safe-file.ts': ['domain', 'file-system.ts', 'partial-file.ts'],
  'leftovers.ts': ['domain', 'config', 'file-system.ts', 'partial-file.ts', 'safe-file.ts'],
  config: ['domain', 'file-system.ts', 'mounts.ts', 'safe-file.ts'],
  outbox: ['domain'],
  'outbox/sqlite': [
    'domain',
    'file-system.ts',
    'mounts.ts',
    'partial-file.ts',
    'process-identity.ts',
    'safe-file.ts',
    LOCK_FILE,
    OUTBOX,
    OPERATOR,
    MAINTENANCE,
    RECONCILIATION,
    ATTACHMENTS,
    RETENTION,
  ],
  sources: ['domain'],
  outgoing: ['domain'],
  targets: ['domain', 'outgoing', 'expressions'],
  expressions: ['domain', 'targets/slack-message.ts', 'targets/slack-text.ts'],
  delivery: ['domain', OUTBOX, 'targets/target.ts'],
  ingest: ['domain', 'expressions', OUTBOX, 'sources/scheme.ts'],
  alerts: ['domain', OUTBOX, RECONCILIATION],
  upkeep: ['domain', RETENTION, 'alerts'],
  ultravox: ['domain', 'outgoing', 'safe-file.ts', OUTBOX, RECONCILIATION, ATTACHMENTS],
  documents: ['domain', 'config', OPERATOR],
  operations: ['domain', 'config', 'documents', 'expressions', OPERATOR, 'event-id.ts', 'trace-ids.ts'],
  admin: ['domain', 'config', 'documents', 'operations', 'safe-file.ts', OUTBOX, OPERATOR, 'machine-clock.ts'],
  systemd: ['domain'],
  cli: [
    'domain',
    'config',
    'expressions',
    'sources',
    'outgoing',
    'ultravox',
    'documents',
    'operations',
    OPERATOR,
    MAINTENANCE,
    LOCK_FILE,
    OPEN_OUTBOX,
    'systemd',
    'daemon.ts',
    'event-id.ts',
    'file-system.ts',
    'leftovers.ts',
    'log-output.ts',
    'logging.ts',
    'machine-clock.ts',
    'mounts.ts',
    'partial-file.ts',
    'safe-file.ts',
    'target-factory.ts',
    'trace-ids.ts',
    TARGET_CONNECTION,
  ],
  [OPEN_OUTBOX]: ['domain', OPERATOR, MAINTENANCE, 'outbox/sqlite'],
  'daemon.ts': [
    ...ALL_BUT_CLI,
    'admin-side.ts',
    'call-attachments.ts',
    'counted.ts',
    'entry.ts',
    'event-id.ts',
    'lane-factory.ts',
    'logging.ts',
    'mounts.ts',
    'process-freeze.ts',
    'request-id.ts',
    'told-state.ts',
    'traced.ts',
    'tracing.ts',
    'watching.ts',
  ],
  'lane-factory.ts': ['domain', 'config', 'delivery', 'targets', 'target-factory.ts', 'traced.ts', 'tracing.ts'],
  'admin-side.ts': ['admin', 'upkeep', 'config', 'documents', 'domain', 'outbox/sqlite', 'logging.ts'],
  'counted.ts': ['domain', 'admin/counts.ts', 'delivery', 'ingest', OUTBOX, 'ultravox'],
  'entry.ts': ['domain', 'config', 'alerts', 'expressions', 'ingest', 'sources', 'logging.ts'],
  'watching.ts': [
    'domain',
    'config',
    'alerts',
    'upkeep',
    OUTBOX,
    'logging.ts',
    'machine-clock.ts',
    'provider-side.ts',
    'certificate-watch.ts',
  ],
  'certificate-watch.ts': ['domain', 'config', 'alerts'],
  'provider-side.ts': [
    'domain',
    'config',
    'admin/counts.ts',
    'alerts',
    OUTBOX,
    RECONCILIATION,
    'ultravox',
    'counted.ts',
    'logging.ts',
  ],
  'call-attachments.ts': ['config', 'ultravox', 'upkeep', 'logging.ts'],
  'target-factory.ts': ['domain', 'config', 'targets', 'expressions'],
  [TARGET_CONNECTION]: ['domain', 'config', 'outgoing', 'targets'],
  'logging.ts': [...ALL_BUT_CLI, 'certificate-watch.ts', 'tracing.ts'],
  'log-output.ts': ['config', 'domain', 'descriptor-sink.ts', 'journal.ts', 'line-writer.ts'],
  'descriptor-sink.ts': ['line-writer.ts'],
  'journal.ts': [],
  'event-id.ts': ['domain', 'random-pool.ts'],
  'line-writer.ts': [],
  'told-state.ts': ['config', 'domain', 'outbox/outbox.ts', 'logging.ts', 'version.ts'],
  'machine-clock.ts': ['domain'],
  'request-id.ts': [],
  'random-pool.ts': [],
  'trace-ids.ts': ['domain', 'random-pool.ts'],
  'traced.ts': ['domain', 'ingest', OUTBOX, 'targets/target.ts', 'trace-ids.ts', 'tracing.ts'],
  'tracing.ts': ['domain', 'config', 'outgoing'],
  'version.ts': [],
}

/** Packages that only one part may know of, so that it can be replaced there. */
const ONLY_IN: Record<string, readonly string[]> = {
  'better-sqlite3': ['outbox/sqlite'],
  'better-sqlite3-napi': ['outbox/sqlite'],
  fastify: ['ingest', 'admin', 'logging.ts', 'traced.ts'],
  '@opentelemetry/api': ['tracing.ts'],
  '@opentelemetry/exporter-trace-otlp-http': ['tracing.ts'],
  '@opentelemetry/resources': ['tracing.ts'],
  '@opentelemetry/sdk-trace': ['tracing.ts'],
  '@fastify/swagger': ['admin'],
  'prom-client': ['admin'],
  '@fastify/rate-limit': ['ingest'],
  pino: ['logging.ts', 'log-output.ts'],
  commander: ['cli'],
}

/** What the domain may use: nothing that reads or writes anything, but for a package that is loaded when it is needed. */
const PURE = ['node:crypto', 'node:util', 'node:module', 'jsonata']

/** The part that a file belongs to: the longest name in the table that it is, or is in. */
function partOf(file: string): string | undefined {
  return Object.keys(MAY_IMPORT)
    .filter((part) => isIn(file, part))
    .sort((a, b) => b.length - a.length)[0]
}

function isIn(file: string, part: string): boolean {
  return file === part || file.startsWith(`${part}/`)
}

/** All that a file imports, statically or not, types included: local files by their path from src, packages by name. */
function importsOf(file: string): { local: string[]; packages: string[] } {
  const names = ts.preProcessFile(textOf(file), true, true).importedFiles.map(({ fileName }) => fileName)
  return {
    local: names.filter((name) => name.startsWith('.')).map((name) => join(dirname(file), name)),
    packages: names.filter((name) => !name.startsWith('.')),
  }
}

/** Every node of a file's syntax, so that comments and strings do not count. */
function* nodesOf(file: string): Generator<ts.Node> {
  const pending: ts.Node[] = [ts.createSourceFile(file, textOf(file), ts.ScriptTarget.Latest, true)]
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    yield node
    ts.forEachChild(node, (child) => void pending.push(child))
  }
}

/** The files with such a node, of those that have the word in them at all: parsing takes its time. */
function filesWith(word: string, matches: (node: ts.Node) => boolean): string[] {
  return SOURCES.filter((file) => textOf(file).includes(word) && [...nodesOf(file)].some(matches))
}
const isAccess = (node: ts.Node, text: string) => ts.isPropertyAccessExpression(node) && node.getText() === text

t.test('every source file belongs to a part of the design', async (t) => {
  t.same(
    SOURCES.filter((file) => partOf(file) === undefined),
    [],
  )
  t.ok(SOURCES.length > 50, 'the files were found')
})

t.test('parts import only what the design lets them', async (t) => {
  const breaches: string[] = []
  let seen = 0
  for (const file of SOURCES) {
    const part = partOf(file)!
    const allowed = [...MAY_IMPORT[part]!, 'version.ts']
    for (const imported of importsOf(file).local) {
      seen += 1
      const ownPart = partOf(imported) === part
      if (!ownPart && !allowed.some((each) => isIn(imported, each))) breaches.push(`${file} imports ${imported}`)
    }
  }
  t.same(breaches, [])
  t.ok(seen > 100, 'the imports were found')
})

t.test('what is imported is there, by its name with .ts', async (t) => {
  const missing = SOURCES.flatMap((file) => importsOf(file).local.map((imported) => `${file}: ${imported}`)).filter(
    (line) => !SOURCES.includes(line.split(': ')[1]!),
  )
  t.same(missing, [])
})

t.test('no file imports itself by way of others', async (t) => {
  const inCycle: string[] = []
  for (const start of SOURCES) {
    const reached = new Set<string>()
    const pending = importsOf(start).local
    for (let file = pending.pop(); file !== undefined; file = pending.pop()) {
      if (reached.has(file) || !SOURCES.includes(file)) continue
      reached.add(file)
      pending.push(...importsOf(file).local)
    }
    if (reached.has(start)) inCycle.push(start)
  }
  t.same(inCycle, [])
})

t.test('the domain reads and writes nothing', async (t) => {
  for (const file of SOURCES.filter((file) => isIn(file, 'domain'))) {
    t.same(
      importsOf(file).packages.filter((name) => !PURE.includes(name)),
      [],
      file,
    )
  }
})

t.test('a package that a part stands for is known to no other', async (t) => {
  const breaches = SOURCES.flatMap((file) =>
    importsOf(file)
      .packages.filter((name) => ONLY_IN[name]?.some((part) => isIn(file, part)) === false)
      .map((name) => `${file} imports ${name}`),
  )
  t.same(breaches, [])
})

t.test('other hosts are connected to in one place, which guards it', async (t) => {
  const loads = (node: ts.Node, name: string) =>
    (ts.isImportDeclaration(node) &&
      !node.importClause?.isTypeOnly &&
      node.moduleSpecifier.getText() === `'${name}'`) ||
    (ts.isCallExpression(node) && node.getText() === `import('${name}')`)
  const calls = (node: ts.Node, name: string) => ts.isCallExpression(node) && node.expression.getText() === name
  t.same(
    filesWith('undici', (node) => loads(node, 'undici')).filter((file) => !isIn(file, 'outgoing')),
    ['cli/own-listener.ts'],
    'and the relay itself is asked on its own machine',
  )
  t.same(
    filesWith('fetch(', (node) => calls(node, 'fetch')).filter((file) => !isIn(file, 'outgoing')),
    [],
  )
})

t.test('the machine’s clock is read in one place', async (t) => {
  t.same(
    filesWith('Date.now', (node) => isAccess(node, 'Date.now')),
    ['domain/clock.ts'],
  )
  t.same(
    filesWith(
      'new Date',
      (node) => ts.isNewExpression(node) && node.expression.getText() === 'Date' && !node.arguments?.length,
    ),
    [],
    'new Date()',
  )
  t.same(
    filesWith('Date(', (node) => ts.isCallExpression(node) && node.expression.getText() === 'Date'),
    [],
    'Date()',
  )
})

t.test('chance comes in where things are put together', async (t) => {
  t.same(
    filesWith('Math.random', (node) => isAccess(node, 'Math.random')),
    ['cli/provider-client.ts', 'daemon.ts'],
  )
})

t.test('everything printed goes through the functions that let no control character through', async (t) => {
  const isStream = (node: ts.Node) =>
    isAccess(node, 'process.stdout') ||
    isAccess(node, 'process.stderr') ||
    // const { stdout } = process
    (ts.isVariableDeclaration(node) &&
      ts.isObjectBindingPattern(node.name) &&
      node.initializer?.getText() === 'process')
  t.same(filesWith('process', isStream), ['cli/output.ts', 'cli/style.ts'])
  const isWrite = (node: ts.Node) => ts.isPropertyAccessExpression(node) && node.name.text === 'write'
  t.same(
    filesWith('write', isWrite).filter((file) => file.startsWith('cli/')),
    ['cli/confirm.ts', 'cli/output.ts'],
    'in the commands nothing else writes to a stream that it was given',
  )
  t.same(
    filesWith('console', (node) => ts.isIdentifier(node) && node.text === 'console'),
    [],
  )
  t.same(
    filesWith('fd', (node) => ts.isPropertyAssignment(node) && node.getText() === 'fd: 1'),
    ['log-output.ts'],
  )
  t.same(
    filesWith('Sync(', (node) => ts.isCallExpression(node) && /^write(File)?Sync\([12],/.test(node.getText())),
    [],
  )
})

t.test('file names are kebab-case', async (t) => {
  t.same(
    FILES.filter((file) => file !== 'README.md' && !/^([a-z0-9-]+\/)*[a-z0-9-]+\.(ts|sql)$/.test(file)),
    [],
  )
})
