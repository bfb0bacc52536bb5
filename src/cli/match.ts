import { Command } from 'commander'
import type { Config, RouteConfig } from '../config/config.ts'
import { type Conceal, concealer } from '../domain/concealer.ts'
import type { Explanation } from '../domain/condition-explained.ts'
import { RelayError } from '../domain/errors.ts'
import { callIdOf, type Payload, parsePayload } from '../domain/event.ts'
import { compileEventPattern } from '../domain/event-pattern.ts'
import { boundedExplanation, TaskError } from '../expressions/bounded.ts'
import { unknownName } from '../operations/known-target.ts'
import { configFile, configOption, loadWithoutSecrets } from './config-file.ts'
import { readInput } from './input-file.ts'
import { examples, jsonOption, print } from './printing.ts'
import { styled } from './style.ts'
import { oneLine } from './table.ts'

/** Longest value shown, in characters. */
const VALUE_LIMIT = 100

interface Asked {
  readonly index: number
  readonly route: RouteConfig
  readonly eventMatches: boolean
  /** Null where the route takes events of every source. */
  readonly sourceMatches: boolean | null
  /** Null where the route has no condition. */
  readonly when: Explanation | null
  readonly matches: boolean
}

/** Where an event would go, and why not elsewhere. */
export function matchCommand(): Command {
  return new Command('match')
    .description('say which routes and targets an event would go to, and why not to the others')
    .argument('<file>', 'the event as Ultravox sends it, {"event": …, "call": …}; - is standard input')
    .addOption(configOption())
    .addOption(jsonOption())
    .option('--source <name>', 'the source that the event arrives through')
    .addHelpText('after', examples('match event.json', 'match - --json < event.json'))
    .action(async (file: string, options: { config?: string; json?: boolean; source?: string }) => {
      const { config } = loadWithoutSecrets(configFile(options.config))
      const parsed = parsePayload(readInput(file))
      if ('problem' in parsed)
        throw new RelayError('usage', `${file} is no event, and would be refused: ${parsed.problem}`)
      const { payload } = parsed
      const source = sourceFor(config, options.source)
      // Without a source, an event named relay.* stands for an alert.
      const isOwn = options.source === undefined ? undefined : false
      const asked = await Promise.all(config.routes.map((route, index) => ask(route, index, payload, source, isOwn)))
      const targets = [...new Set(asked.flatMap(({ matches, route }) => (matches ? route.to : [])))]
      const others = Object.keys(config.targets).filter((target) => !targets.includes(target))
      const event = { event: payload.event, callId: callIdOf(payload), targets, others }
      print(options.json, { ...event, routes: asked.map(documentOf) }, told(event, asked))
    })
}

/** Undefined where no route asks for a source. Throws `usage` and `unknown_name`. */
function sourceFor({ sources, routes }: Config, named: string | undefined): string | undefined {
  const all = Object.keys(sources)
  if (named !== undefined && !all.includes(named)) {
    throw unknownName('source', named, all)
  }
  if (named !== undefined || routes.every((route) => route.sources === null)) return named
  if (all.length === 1) return all[0]
  throw new RelayError('usage', `some routes match by source: pass --source, one of ${all.join(', ')}`)
}

async function ask(
  route: RouteConfig,
  index: number,
  payload: Payload,
  source: string | undefined,
  isOwn: boolean | undefined,
): Promise<Asked> {
  const eventMatches = route.events.some((pattern) => compileEventPattern(pattern)(payload.event, isOwn))
  const when = route.when === null ? null : concealed(await explained(route.when, payload, source), concealerOf(route))
  const sourceMatches = route.sources === null ? null : route.sources.some((each) => each === source)
  const matches = eventMatches && sourceMatches !== false && (when?.holds ?? true)
  return { index, route, eventMatches, sourceMatches, when, matches }
}

/** Takes what the references of a condition stand for out of a text about it. */
function concealerOf({ referenced }: RouteConfig): Conceal {
  return concealer(referenced.fallbacks, referenced.values)
}

function concealed(explanation: Explanation, conceal: Conceal): Explanation {
  const { error, value } = explanation
  return {
    ...explanation,
    error: error === null ? null : conceal(error),
    value: typeof value === 'string' ? conceal(value) : value,
  }
}

/** A condition that overruns is explained by that alone. */
async function explained(when: string, payload: Payload, source: string | undefined): Promise<Explanation> {
  try {
    return await boundedExplanation(when, payload, source)
  } catch (error) {
    if (!(error instanceof TaskError)) throw error
    return { holds: true, value: undefined, error: error.message, fields: [] }
  }
}

function documentOf({ index, route, eventMatches, sourceMatches, when, matches }: Asked): object {
  const { name, events, sources, to } = route
  const text = concealerOf(route)(route.when ?? '')
  const condition = when === null ? null : { text, ...when, value: when.value ?? null, fields: when.fields.map(orNull) }
  return { index, name, matches, events, eventMatches, sources, sourceMatches, when: condition, to }
}

/** A field that is not there has to be there in JSON. */
function orNull({ path, value }: Explanation['fields'][number]): object {
  return { path, value: value ?? null }
}

interface Told {
  readonly event: string
  readonly callId: string | null
  readonly targets: readonly string[]
  readonly others: readonly string[]
}

function told({ event, callId, targets, others }: Told, asked: readonly Asked[]): string {
  const heading = oneLine(`${event}${callId === null ? '' : `, call ${callId}`}`)
  const goes =
    targets.length === 0 ? styled('yellow', 'goes nowhere') : `goes to ${styled('green', targets.join(', '))}`
  const not = others.length === 0 ? '' : `, not to ${others.join(', ')}`
  return [`${heading}: ${goes}${not}`, ...asked.flatMap(linesOf)].map((line) => `${line}\n`).join('')
}

function linesOf({ index, route, eventMatches, sourceMatches, when, matches }: Asked): string[] {
  const verdict = matches ? styled('green', 'yes') : styled('red', 'no')
  const name = route.name === null ? '' : ` (${oneLine(route.name)})`
  const lines = ['', `routes[${index}]${name} to ${route.to.join(', ')}: ${verdict}`]
  lines.push(oneLine(`  events: ${route.events.join(', ')}: ${eventMatches ? 'matches' : 'does not match'}`))
  if (route.sources !== null) {
    lines.push(oneLine(`  source: ${route.sources.join(', ')}: ${sourceMatches ? 'matches' : 'does not match'}`))
  }
  if (when === null) return lines
  lines.push(oneLine(`  when: ${concealerOf(route)(route.when!)}: ${resultOf(when)}`))
  return [...lines, ...when.fields.map(({ path, value }) => styled('dim', oneLine(`    ${path} = ${shown(value)}`)))]
}

function resultOf({ holds, value, error }: Explanation): string {
  if (error !== null) return `fails, taken as true: ${error}`
  const verdict = holds ? 'holds' : 'does not hold'
  return typeof value === 'boolean' ? verdict : `${verdict} (${shown(value)})`
}

function shown(value: unknown): string {
  const text = value === undefined ? 'nothing' : (JSON.stringify(value) ?? 'a function')
  return text.length <= VALUE_LIMIT ? text : `${text.slice(0, VALUE_LIMIT - 1)}…`
}
