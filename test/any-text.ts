import fc from 'fast-check'

/** Any character, and no half of one. */
const character = fc
  .oneof(
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 0xd7ff }) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 0x10_ffff }) },
  )
  .filter((point) => point < 0xd800 || point > 0xdfff)

/** Any text. `fc.string({ unit: 'binary' })` is the same, but makes tables of all characters first, for most of a second. */
export function anyText(constraints: Pick<fc.ArrayConstraints, 'minLength' | 'maxLength'> = {}): fc.Arbitrary<string> {
  return fc.array(character, constraints).map((points) => String.fromCodePoint(...points))
}
