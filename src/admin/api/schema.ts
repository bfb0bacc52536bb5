/** A JSON Schema, as OpenAPI takes it. */
export type Schema = Readonly<Record<string, unknown>>

/** A schema for each key of a document, so that the compiler finds the ones that are missing or gone. */
export type Properties<Document> = Readonly<Record<keyof Document, Schema>>

export const text: Schema = { type: 'string' }
/** A filter or a name: an empty one would match nothing, or everything. */
export const word: Schema = { type: 'string', minLength: 1 }
/** An id. Larger numbers are rounded when they are parsed, and would name something else. */
export const id: Schema = { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER }
export const count: Schema = { type: 'integer', minimum: 0 }
export const integer: Schema = { type: 'integer' }
export const flag: Schema = { type: 'boolean' }
export const instant: Schema = { type: 'string', format: 'date-time' }

export function nullable(schema: Schema): Schema {
  return { ...schema, nullable: true }
}

export function listOf(items: Schema): Schema {
  return { type: 'array', items }
}

export function oneOf(...words: readonly string[]): Schema {
  return { type: 'string', enum: words }
}

/** An object with all of these; others may join them one day. */
export function object(properties: Readonly<Record<string, Schema>>): Schema {
  return { type: 'object', properties, required: Object.keys(properties) }
}

/** An object with some of these: which, depends on one of them. */
export function variant(properties: Readonly<Record<string, Schema>>, ...required: readonly string[]): Schema {
  return { type: 'object', properties, required }
}
