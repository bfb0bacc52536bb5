import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import { Baseline, better, writeBaseline } from './baseline.ts'
import { CASES } from './cases/cases.ts'
import { type Case, type Figure, NotHere, type Settings } from './measure.ts'
import { Surroundings } from './processes.ts'

const FULL: Settings = { rounds: 5, seconds: 2, scale: 1 }
const SHORT: Settings = { rounds: 3, seconds: 2, scale: 20 }
const RESULTS = 'bench/results/latest.json'
/** How often a figure is measured at most before it counts as worse, and how often for a baseline. */
const TIMES = 3

const flag = { type: 'boolean', default: false } as const
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { short: flag, check: flag, 'write-baseline': flag },
})
const settings = values.short ? SHORT : FULL
const chosen = CASES.filter(({ name }) => positionals.length === 0 || positionals.some((part) => name.includes(part)))
let failed = false

mkdirSync('bench/results', { recursive: true })
if (values['write-baseline']) {
  const measured: Figure[][] = []
  for (let time = 0; time < TIMES; time++) measured.push(await measureAll())
  if (!failed) writeBaseline(measured, about())
} else {
  const baseline = values.check ? Baseline.read(settings) : null
  const figures = await measureAll(baseline === null ? undefined : (figure) => baseline.complaint(figure) !== null)
  writeFileSync(RESULTS, `${JSON.stringify({ ...about(), figures }, null, 2)}\n`)
  const complaints = figures.flatMap((figure) => baseline?.complaint(figure) ?? [])
  for (const complaint of complaints) console.log(complaint)
  failed ||= complaints.length > 0
}
process.exitCode = failed ? 1 : 0

/** Measures what was chosen. What `looksWorse` is measured again, and the best counts: slow neighbours pass, a slower relay stays. */
async function measureAll(looksWorse: (figure: Figure) => boolean = () => false): Promise<Figure[]> {
  const all: Figure[] = []
  for (const each of chosen) {
    let figures = await measure(each)
    for (let time = 1; time < TIMES && figures.some(looksWorse); time++) {
      const again = await measure(each)
      figures = figures.map((figure, at) => better(figure, again[at] ?? figure))
    }
    all.push(...figures)
  }
  return all
}

async function measure(each: Case): Promise<Figure[]> {
  const around = new Surroundings()
  try {
    const figures = await each.run(settings, around)
    for (const figure of figures) console.log(lineOf(figure))
    return figures
  } catch (error) {
    if (!(error instanceof NotHere)) failed = true
    console.log(`${each.name}: not measured: ${(error as Error).message}`)
    return []
  } finally {
    await around.end()
  }
}

function lineOf({ name, value, unit, floor, aim, most, absolute }: Figure): string {
  const reaches = (wanted: number) => (most ? value <= wanted : value >= wanted)
  const verdict = reaches(aim) ? 'aim' : reaches(floor) ? 'floor' : 'BELOW'
  const sign = most ? '≤' : '≥'
  const shown = `${value.toFixed(2)}${unit === 'ratio' ? '' : ` ${unit}`}`
  return `${name.padEnd(52)} ${shown.padStart(10)}  ${verdict.padEnd(5)}  floor ${sign} ${floor}, aim ${sign} ${aim}   (${absolute})`
}

function about() {
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
  const [{ model } = { model: 'unknown' }] = cpus()
  const machine = { cpu: model, cores: cpus().length, memoryGb: Math.round(totalmem() / 2 ** 30) }
  return { machine: { ...machine, node: process.version, commit }, settings }
}
