import { relayJsonSchema } from './json-schema.ts'

/** The little of JSON Schema that ours is made of. */
interface Node {
  readonly description?: string
  readonly default?: unknown
  readonly const?: string
  readonly properties?: Readonly<Record<string, Node>>
  readonly required?: readonly string[]
  readonly additionalProperties?: Node | false
  readonly items?: Node
  readonly oneOf?: readonly Node[]
  readonly anyOf?: readonly Node[]
  readonly not?: unknown
}

const HEAD = ['| key | default | meaning |', '|---|---|---|']

/** The configuration reference in Markdown: the same sentences that editors show, from the same declaration. */
export function configReference(): string {
  const { properties = {} } = relayJsonSchema() as Node
  const sections = Object.entries(properties).flatMap(([name, node]) => section(name, node))
  return [
    '# Configuration reference',
    '',
    'Every key of `relay.yaml`. Made from the schema by `npm run schema`; do not edit it by hand.',
    '',
    'In every string: `${NAME}`, `${NAME:-default}`, `${file:/path}` and `${credential:name}`; a literal `${` is `$${`.',
    'Durations have a unit (`500ms`, `30s`, `5m`, `1h30m`, `14 days`), sizes too (`512kb`, `5 MB`; 1kb is 1024 bytes).',
    'Anchors, aliases and merge keys (`<<: *name`) work; top-level keys that begin with `x-` are left out and may hold them.',
    'Relative paths start at the directory of the file.',
    ...sections,
    '',
  ].join('\n')
}

function section(name: string, node: Node): string[] {
  const named = node.additionalProperties === false ? undefined : node.additionalProperties
  const kinds = named?.oneOf ?? []
  const heading = ['', `## ${name}`, '', node.description ?? '']
  if (kinds.length > 0) return [...heading, ...kinds.flatMap((kind) => kindSection(`${name}.NAME`, kind))]
  const list = node.items !== undefined
  // A mapping, or a list of the same mappings.
  const single = node.anyOf?.find(({ properties }) => properties !== undefined)
  return [...heading, '', ...HEAD, ...rows(list ? `${name}[].` : `${name}.`, single ?? node.items ?? node)]
}

/** One of several shapes, told apart by a key with a constant value, such as `type: http`. */
function kindSection(path: string, kind: Node): string[] {
  const [key, tag] = Object.entries(kind.properties ?? {}).find(([, { const: value }]) => value !== undefined) ?? []
  return ['', `### \`${key}: ${tag?.const}\``, '', tag?.description ?? '', '', ...HEAD, ...rows(`${path}.`, kind, key)]
}

function rows(path: string, { properties = {}, required = [] }: Node, skipped?: string): string[] {
  return Object.entries(properties).flatMap(([key, node]) => {
    if (key === skipped || node.not !== undefined) return []
    // The keys of a target's own retry policy are those of the global one, which has a section of its own.
    const inner = key === 'retry' ? [] : rows(`${path}${key}.`, node)
    return [row(`${path}${key}`, node, required.includes(key)), ...inner, ...variants(`${path}${key}`, node)]
  })
}

/** A key that may hold one of several mappings: their keys, each once. */
function variants(path: string, { oneOf = [] }: Node): string[] {
  const lines = oneOf.flatMap((variant) => rows(`${path}.`, variant))
  return [...new Set(lines)]
}

function row(path: string, node: Node, required: boolean): string {
  const given = node.default === undefined || isEmptyMapping(node.default) ? '' : `\`${JSON.stringify(node.default)}\``
  const key = node.const === undefined ? path : `${path}: ${node.const}`
  return `| \`${key}\` | ${required ? 'required' : unquoted(given)} | ${escaped(node.description ?? '')} |`
}

/** Text in a table's cell. */
function escaped(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll('*', '\\*')
}

function isEmptyMapping(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length === 0
}

/** `"5s"` is written 5s in YAML. */
function unquoted(json: string): string {
  return json.replace(/^`"(.*)"`$/, '`$1`')
}
