/** Where something stands in the configuration: keys and list indexes from the top. */
export type Path = readonly (string | number)[]

/** Something to tell about the configuration, before it has a line and a column. The message never quotes a secret. */
export interface Finding {
  readonly path: Path
  /** What is wrong, and what to write instead; follows "path: ". */
  readonly message: string
  /** Absent: an error. Warnings and notes do not keep the relay from starting; only `check` shows a note. */
  readonly level?: 'warning' | 'note'
  /** What an error stops. Absent: the whole relay. `target`: only attempts of one target, so that a start and a reload take it as a warning. */
  readonly stops?: 'target'
  /** Absent: at the value. `key`: at its key. A number: that many characters into the value's text. */
  readonly at?: 'key' | number
}

/** `targets.crm.url`, `routes[0].to[1]`; keys that would be ambiguous are quoted: `targets["a.b"]`. */
export function formatPath(path: Path): string {
  let text = ''
  for (const segment of path) {
    if (typeof segment === 'number') text += `[${segment}]`
    else if (!/^[\w$-]+$/.test(segment)) text += `[${JSON.stringify(segment)}]`
    else text += text === '' ? segment : `.${segment}`
  }
  return text
}
