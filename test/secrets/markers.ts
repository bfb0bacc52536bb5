import { randomBytes } from 'node:crypto'

/** What a search goes through: a text, or the bytes of a file, and where it is from. */
export interface Heap {
  readonly from: string
  readonly content: string | Buffer
}

/** Shortest piece of a secret that counts as the secret: what is cut off in its middle is still told. */
const PIECE = 12

interface Needle {
  readonly form: string
  readonly bytes: Buffer
}

/** Secrets that are like no other text, each known by the place that it was put into. */
export class Markers {
  readonly #needles = new Map<string, Needle[]>()

  /** A new one. `between`: what stands in its middle, such as quotes, which other texts write in another way. */
  make(place: string, between = ''): string {
    // The first character is none that escapes could swallow, and no half looks like another's.
    const [head, tail] = [randomBytes(10).toString('hex'), randomBytes(10).toString('hex')]
    const text = `${head}${between}${tail}`
    this.add(place, text, [head, tail])
    return text
  }

  /** One that was made elsewhere. `halves`: its pieces that stay as they are however it is written. */
  add(place: string, text: string, halves: readonly string[] = [text]): void {
    const pieces = halves.flatMap((half) => [half.slice(0, PIECE), half.slice(-PIECE)])
    const needles = [...new Set(pieces)].map((piece) => ({ form: 'as it is', bytes: Buffer.from(piece) }))
    this.#needles.set(place, [...needles, ...halves.flatMap(encoded)])
  }

  get places(): string[] {
    return [...this.#needles.keys()]
  }

  /** The places whose secret is in it, each with the form that it has there. */
  in(content: string | Buffer): { readonly place: string; readonly form: string }[] {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content
    return [...this.#needles].flatMap(([place, needles]) => {
      const found = needles.find((needle) => bytes.includes(needle.bytes))
      return found === undefined ? [] : [{ place, form: found.form }]
    })
  }

  /** All that must not be: `place (form) in from`. */
  leaks(heaps: readonly Heap[], allowed: (place: string, from: string) => boolean = () => false): string[] {
    return heaps.flatMap(({ from, content }) =>
      this.in(content).flatMap(({ place, form }) => (allowed(place, from) ? [] : [`${place} (${form}) in ${from}`])),
    )
  }
}

/** base64 in each of the three ways in which a text can stand in a longer one, and hex. */
function encoded(text: string): Needle[] {
  const base64 = [0, 1, 2].map((before) => {
    const whole = Buffer.concat([Buffer.alloc(before), Buffer.from(text)]).toString('base64')
    // Its ends depend on what stands beside it.
    const from = before === 0 ? 0 : 4
    return { form: 'base64', bytes: Buffer.from(whole.slice(from, from + 16)) }
  })
  return [...base64, { form: 'hex', bytes: Buffer.from(Buffer.from(text).toString('hex').slice(0, 32)) }]
}
