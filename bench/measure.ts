import type { Surroundings } from './processes.ts'

/** One figure, and what it is measured by. */
export interface Figure {
  readonly name: string
  /** The ratio to the reference, or a figure of its own where there is none. */
  readonly value: number
  readonly unit: 'ratio' | 'times' | 'ms' | 'MB' | '%'
  /** What is at least wanted, and what is aimed at. `most`: the smaller the better. */
  readonly floor: number
  readonly aim: number
  readonly most?: true
  /** In absolute terms: for people, and only true of this machine. */
  readonly absolute: string
}

/** One thing that is measured. */
export interface Case {
  readonly name: string
  run(settings: Settings, around: Surroundings): Promise<Figure[]>
}

/** Enough for what is far from its floor or needs a long round, so that the whole stays within ten minutes. */
export const FEWER_ROUNDS = 3

/** A case cannot be measured on this machine, for something is not installed. */
export class NotHere extends Error {}

export interface Settings {
  /** How often each side is measured, in alternation. */
  readonly rounds: number
  /** For how long, each time. */
  readonly seconds: number
  /** By how much to divide large numbers of rows. */
  readonly scale: number
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!
}

/** What came of both sides of a comparison, in the order of the rounds. */
export interface Sides<T> {
  readonly ours: T[]
  readonly reference: T[]
}

/**
 * Measures two things in turn, so that what the machine does otherwise falls on both. Each goes first every other time.
 */
export async function alternate<T>(
  rounds: number,
  ours: () => Promise<T>,
  reference: () => Promise<T>,
): Promise<Sides<T>> {
  const results: Sides<T> = { ours: [], reference: [] }
  for (let round = 0; round < rounds; round++) {
    const turns = [async () => results.ours.push(await ours()), async () => results.reference.push(await reference())]
    for (const turn of round % 2 === 0 ? turns : turns.reverse()) await turn()
  }
  return results
}

/** The same of each result, such as one of several things that were measured together. */
export function eachOf<T, U>({ ours, reference }: Sides<T>, of: (result: T) => U): Sides<U> {
  return { ours: ours.map(of), reference: reference.map(of) }
}

/** How a ratio is told: its name and what is wanted of it, how a value is shown, and what the reference is called. */
export interface Telling extends Pick<Figure, 'name' | 'floor' | 'aim' | 'most'> {
  readonly shown: (value: number) => string
  readonly reference: string
}

/** The median of the ratios, round by round, as a figure. */
export function ratio({ ours, reference }: Sides<number>, telling: Telling): Figure {
  const { shown, reference: called, ...wanted } = telling
  return {
    ...wanted,
    value: median(ours.map((value, round) => value / reference[round]!)),
    unit: 'ratio',
    absolute: `${shown(median(ours))}; ${called} ${shown(median(reference))}`,
  }
}

export function perSecond(value: number): string {
  return `${Math.round(value)}/s`
}
