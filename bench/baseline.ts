import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { type Figure, median } from './measure.ts'

const FILE = 'bench/results/baseline.json'
/** By so much a ratio may be worse than it was before it counts: these are noisy machines. */
const TOLERANCE = 0.3

/** What a measurement is compared with. Only ratios: nothing else carries over to another machine. */
export class Baseline {
  readonly #figures: readonly Figure[]

  private constructor(figures: readonly Figure[]) {
    this.#figures = figures
  }

  /** The one in the repository. Throws where there is none. */
  static read(): Baseline {
    if (!existsSync(FILE)) throw new Error(`there is no ${FILE}: --write-baseline makes one`)
    return new Baseline((JSON.parse(readFileSync(FILE, 'utf8')) as { figures: Figure[] }).figures)
  }

  /** What is worse than it was, in words; null where nothing is, or nothing is known of it. */
  complaint({ name, value, unit, most }: Figure): string | null {
    const was = this.#figures.find((figure) => figure.name === name)?.value
    if (was === undefined || unit !== 'ratio') return null
    const isWorse = most ? value > was * (1 + TOLERANCE) : value < was * (1 - TOLERANCE)
    if (!isWorse) return null
    return `${name}: ${value.toFixed(2)}, and it was ${was.toFixed(2)}: worse by more than ${TOLERANCE * 100} %`
  }
}

/** Keeps ratios in the repository, each the median of several measurements, so that no lucky one is the measure. */
export function writeBaseline(measured: readonly (readonly Figure[])[], about: object): void {
  const [first = []] = measured
  const figures = first
    .filter(({ unit }) => unit === 'ratio')
    .map((figure) => {
      const value = median(measured.map((figures) => figures.find(({ name }) => name === figure.name)!.value))
      return { ...figure, value }
    })
  writeFileSync(FILE, `${JSON.stringify({ ...about, figures }, null, 2)}\n`)
}

/** The better of two measurements of the same. */
export function better(one: Figure, other: Figure): Figure {
  return (one.most ? one.value <= other.value : one.value >= other.value) ? one : other
}
