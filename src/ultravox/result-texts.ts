import { JsonCursor } from '../domain/json-cursor.ts'

const COMMA = 0x2c
const [OPEN_LIST, CLOSE_LIST, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7d]

/**
 * The bytes of each object in a page's `results`, as the provider wrote them: views into the page. Only for a page that
 * was parsed and found to be one. Of several `results` the last counts, as it does for `JSON.parse`.
 */
export function resultTexts(page: Uint8Array): readonly Uint8Array[] {
  const cursor = new JsonCursor(page)
  let texts: readonly Uint8Array[] = []
  cursor.skipBlanks()
  for (const _ of members(cursor, CLOSE_OBJECT)) {
    if (cursor.takeKey() === 'results' && cursor.byte === OPEN_LIST) texts = itemTexts(cursor, page)
    else cursor.skipValue()
  }
  return texts
}

function itemTexts(cursor: JsonCursor, page: Uint8Array): readonly Uint8Array[] {
  const texts: Uint8Array[] = []
  for (const _ of members(cursor, CLOSE_LIST)) {
    const start = cursor.at
    cursor.skipValue()
    texts.push(page.subarray(start, cursor.at))
  }
  return texts
}

/** Stops at each member of the object or list that starts here; whoever is told moves past it. Ends behind the whole. */
function* members(cursor: JsonCursor, closing: number): Generator<void> {
  cursor.at++
  cursor.skipBlanks()
  while (!cursor.ended && cursor.byte !== closing) {
    yield
    cursor.skipBlanks()
    if (cursor.byte === COMMA) cursor.at++
    cursor.skipBlanks()
  }
  cursor.at++
}
