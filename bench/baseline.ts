import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { type Figure, median, type Settings } from './measure.ts'

const FILE = 'bench/results/baseline.json'
/** By so much a ratio may be worse than it was before it counts: these are noisy machines. */
const TOLERANCE = 0.3

interface Kept {
  /** What they were measured with: other numbers of rows, or another duration, are not comparable. */
  readonly settings: Settings
  readonly figures: readonly Figure[]
}

/** What a measurement is compared with. Only ratios: nothing else carries over to another machine. */
export class Baseline {
  readonly #figures: readonly Figure[]

  private constructor(figures: readonly Figure[]) {
    this.#figures = figures
  }

  /** The one in the repository. Throws where there is none for these settings. */
  static read(settings: Settings): Baseline {
    const kept = read()
    if (kept === null) throw new Error(`there is no ${FILE}: --write-baseline makes one`)
    if (!isDeepStrictEqual(kept.settings, settings)) {
      throw new Error(`${FILE} was measured with other settings: ${JSON.stringify(kept.settings)}`)
    }
    return new Baseline(kept.figures)
  }

  /** What is worse than it was, or was never measured, in words; null where nothing is. */
  complaint({ name, value, unit, most }: Figure): string | null {
    if (unit !== 'ratio') return null
    const was = this.#figures.find((figure) => figure.name === name)?.value
    if (was === undefined) return `${name}: not in ${FILE}: --write-baseline adds it`
    const isWorse = most ? value > was * (1 + TOLERANCE) : value < was * (1 - TOLERANCE)
    if (!isWorse) return null
    return `${name}: ${value.toFixed(2)}, and it was ${was.toFixed(2)}: worse by more than ${TOLERANCE * 100} %`
  }
}

/**
 * Keeps ratios in the repository, each the median of several measurements, so that no lucky one is the measure. Others that
 * were kept before with the same settings stay.
 */
export function writeBaseline(measured: readonly (readonly Figure[])[], about: { readonly settings: Settings }): void {
  const [first = []] = measured
  const figures = first
    .filter(({ unit }) => unit === 'ratio')
    .map((figure) => {
      const value = median(measured.map((figures) => figures.find(({ name }) => name === figure.name)!.value))
      return { ...figure, value }
    })
  const kept = read()
  const before = kept !== null && isDeepStrictEqual(kept.settings, about.settings) ? kept.figures : []
  const others = before.filter(({ name }) => !figures.some((figure) => figure.name === name))
  writeFileSync(FILE, `${JSON.stringify({ ...about, figures: [...others, ...figures] }, null, 2)}\n`)
}

function read(): Kept | null {
  return existsSync(FILE) ? (JSON.parse(readFileSync(FILE, 'utf8')) as Kept) : null
}

/** The better of two measurements of the same. */
export function better(one: Figure, other: Figure): Figure {
  return (one.most ? one.value <= other.value : one.value >= other.value) ? one : other
}
