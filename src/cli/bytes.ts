const UNITS = ['bytes', 'KB', 'MB', 'GB', 'TB']

/** A size for people, such as `4.1 MB` or `448 KB`, where a KB is 1024 bytes as in the configuration. */
export function bytes(count: number): string {
  const power = count < 1024 ? 0 : Math.min(Math.floor(Math.log2(count) / 10), UNITS.length - 1)
  const amount = count / 1024 ** power
  return `${power > 0 && amount < 10 ? amount.toFixed(1) : Math.round(amount)} ${UNITS[power]}`
}
