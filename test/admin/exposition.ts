/** A sample of the text format of Prometheus. */
export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** Reads the text format; throws at a line that is none. Families: what `# TYPE` says of each name. */
export function parseExposition(text: string) {
  const samples: Sample[] = []
  const families = new Map<string, string>()
  for (const line of text.split('\n').filter((each) => each !== '')) {
    const [, family, type] = /^# TYPE (\S+) (\w+)$/.exec(line) ?? []
    if (family !== undefined) families.set(family, type!)
    if (line.startsWith('#')) continue
    const [, name, labels = '', value] = /^([a-z_:][a-z0-9_:]*)(?:\{(.*)\})? (\S+)$/i.exec(line) ?? []
    if (name === undefined) throw new Error(`no sample: ${line}`)
    const pairs = [...labels.matchAll(/(\w+)="((?:\\.|[^"\\])*)"/g)].map(([, key, text]) => [key, text] as const)
    samples.push({ name, labels: Object.fromEntries(pairs), value: Number(value === '+Inf' ? Infinity : value) })
  }
  /** The value of the one sample with this name and exactly these labels. */
  const value = (name: string, labels: Record<string, string> = {}) => {
    const wanted = JSON.stringify(Object.entries(labels).sort())
    return samples.find((each) => each.name === name && JSON.stringify(Object.entries(each.labels).sort()) === wanted)
      ?.value
  }
  return { samples, families, value }
}
