import { basename, relative } from 'node:path'
import type { Config, SourceConfig, TargetConfig } from '../config/config.ts'
import { cellsOf, padToCells } from './terminal-cells.ts'

/** What a person who has just started the relay wants to know. Never a secret: of a URL, only where it leads. */
export function banner(config: Config, file: string, address: string): string {
  const base = `${config.server.tls === null ? 'http' : 'https'}://${address}`
  const sources = Object.entries(config.sources).map(([name, source]) => [
    name,
    `${base}${source.path}`,
    scheme(source),
  ])
  const targets = Object.entries(config.targets).map(([name, target]) => [name, target.type, destination(target)])
  const routes = config.routes.map(({ events, when, to }) => [
    events.join(', '),
    `→ ${to.join(', ')}`,
    when === null ? '' : `when ${when}`,
  ])
  return [
    '',
    `ultravox-relay is running on ${file}`,
    `  listening  ${base}  (health: ${base}/healthz)`,
    `  outbox     ${config.outbox.path}`,
    ...section('sources', sources),
    ...section('targets', targets),
    ...section('routes', routes),
    '',
    'Send a first signed event from another terminal:',
    `  ${invocation()} trigger call.ended --config ${file}`,
    '',
    '',
  ].join('\n')
}

/** How this program was called, so that its next command can be called the same way. */
function invocation(): string {
  const script = process.argv[1] ?? ''
  return basename(script) === 'ultravox-relay' ? 'ultravox-relay' : `node ${relative(process.cwd(), script)}`
}

/** A titled block of rows with aligned columns. */
function section(title: string, rows: readonly string[][]): string[] {
  const widths = [0, 1].map((column) => Math.max(0, ...rows.map((row) => cellsOf(row[column]!))))
  const lines = rows.map((row) =>
    row
      .map((cell, column) => padToCells(cell, widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
  return lines.map((line, index) => `  ${(index === 0 ? title : '').padEnd(10)} ${line}`)
}

function scheme(source: SourceConfig): string {
  return source.scheme === 'none' ? 'NOT VERIFIED' : `verified, ${source.scheme}`
}

function destination(target: TargetConfig): string {
  switch (target.type) {
    case 'http':
      return new URL(target.url.reveal()).origin
    case 'slack':
      return new URL(target.webhookUrl.reveal()).origin
    case 'exec':
      return target.command[0]
  }
}
