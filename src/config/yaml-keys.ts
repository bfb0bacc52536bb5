import { type Document, isAlias, isMap, isScalar, isSeq, type Node, type YAMLMap } from 'yaml'

/** A key as it becomes one in plain values: `8080:` and `"8080":` are the same. */
export function keyText(key: unknown): string {
  if (isMergeKey(key)) return '<<'
  return isScalar(key) ? String(key.value) : String(key)
}

/** Whether a key is `<<`, whose value is the mappings to merge into the one it is in. */
export function isMergeKey(key: unknown): boolean {
  return isScalar(key) && typeof key.value === 'symbol'
}

/** The mappings that the value of a merge key stands for; others are null. */
export function mergedMaps(value: Node | null, document: Document): (YAMLMap | null)[] {
  const target = isAlias(value) ? value.resolve(document) : value
  if (isSeq(target)) return target.items.flatMap((item) => (isSeq(item) ? [null] : mergedMaps(item as Node, document)))
  return [isMap(target) ? target : null]
}
