import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import { CASES } from './cases/cases.ts'
import type { Figure, Settings } from './measure.ts'
import { Surroundings } from './processes.ts'

const FULL: Settings = { rounds: 5, seconds: 4, scale: 1 }
const SHORT: Settings = { rounds: 3, seconds: 2, scale: 20 }
const RESULTS = 'bench/results/latest.json'
const BASELINE = 'bench/results/baseline.json'
/** By so much a ratio may be worse than it was before it counts: these are noisy machines. */
const TOLERANCE = 0.3

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { short: { type: 'boolean', default: false }, check: { type: 'boolean', default: false } },
})
const settings = values.short ? SHORT : FULL
const chosen = CASES.filter(({ name }) => positionals.length === 0 || positionals.some((part) => name.includes(part)))
const figures: Figure[] = []
let failed = false
for (const each of chosen) {
  const around = new Surroundings()
  try {
    for (const figure of await each.run(settings, around)) {
      figures.push(figure)
      console.log(lineOf(figure))
    }
  } catch (error) {
    failed = true
    console.log(`${each.name}: not measured: ${(error as Error).message}`)
  } finally {
    await around.end()
  }
}
mkdirSync('bench/results', { recursive: true })
writeFileSync(RESULTS, `${JSON.stringify({ machine: machine(), settings, figures }, null, 2)}\n`)
if (values.check) failed = !isAsBefore(figures) || failed
process.exitCode = failed ? 1 : 0

function lineOf({ name, value, unit, floor, aim, most, absolute }: Figure): string {
  const reaches = (wanted: number) => (most ? value <= wanted : value >= wanted)
  const verdict = reaches(aim) ? 'aim' : reaches(floor) ? 'floor' : 'BELOW'
  const sign = most ? '≤' : '≥'
  const shown = `${value.toFixed(2)}${unit === 'ratio' ? '' : ` ${unit}`}`
  return `${name.padEnd(52)} ${shown.padStart(10)}  ${verdict.padEnd(5)}  floor ${sign} ${floor}, aim ${sign} ${aim}   (${absolute})`
}

/** Compares ratios with those kept in the repository, and says which have become worse. */
function isAsBefore(now: readonly Figure[]): boolean {
  const { figures: before } = JSON.parse(readFileSync(BASELINE, 'utf8')) as { figures: Figure[] }
  let isFine = true
  for (const { name, value, unit, most } of now) {
    const was = before.find((figure) => figure.name === name)?.value
    if (was === undefined || unit !== 'ratio') continue
    const isWorse = most ? value > was * (1 + TOLERANCE) : value < was * (1 - TOLERANCE)
    if (!isWorse) continue
    isFine = false
    console.log(`${name}: ${value.toFixed(2)}, and it was ${was.toFixed(2)}: worse by more than ${TOLERANCE * 100} %`)
  }
  return isFine
}

function machine(): object {
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
  const [{ model } = { model: 'unknown' }] = cpus()
  return { cpu: model, cores: cpus().length, memoryGb: Math.round(totalmem() / 2 ** 30), node: process.version, commit }
}
