/** Something to fetch that goes beyond its bound: it will not be smaller the next time. */
export class TooLarge extends Error {
  /** `setting`: the name of the bound in the configuration. */
  constructor(setting: string, maxBytes: number) {
    const size = maxBytes >= MB ? `${Math.round((maxBytes / MB) * 10) / 10}mb` : `${Math.round(maxBytes / 1024)}kb`
    super(`larger than ${size}: raise ${setting}, then retry`)
  }
}

const MB = 1024 ** 2
