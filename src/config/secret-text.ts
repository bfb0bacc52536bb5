import type { Path } from './finding.ts'

/** Texts that are a secret and nothing else. */
const CREDENTIALS: readonly (readonly string[])[] = [
  ['sources', '*', 'secrets', '*'],
  ['targets', '*', 'sign', 'secrets', '*'],
  ['ultravox', 'apiKey'],
  ['admin', 'token'],
]

/** Texts that usually have a secret in them. */
const CARRIERS: readonly (readonly string[])[] = [
  ['targets', '*', 'headers', '*'],
  ['targets', '*', 'url'],
  ['targets', '*', 'webhookUrl'],
  ['targets', '*', 'proxy'],
  ['tracing', 'headers', '*'],
]

/** As `CARRIERS`, but blanks may be meant. */
const ENVIRONMENTS: readonly (readonly string[])[] = [['targets', '*', 'env', '*']]

const matches = (path: Path, pattern: readonly string[]) =>
  path.length === pattern.length && pattern.every((part, index) => part === '*' || part === path[index])
const isIn = (path: Path, patterns: typeof CREDENTIALS) => patterns.some((pattern) => matches(path, pattern))

/** Whether blanks around what a reference stands for cannot be part of the value here. */
export function isSecretPath(path: Path): boolean {
  return isIn(path, CREDENTIALS) || isIn(path, CARRIERS)
}

/** Secrets that an operator chooses. Short ones can be guessed. */
const CHOSEN = [CREDENTIALS[0]!, CREDENTIALS[1]!]

/** Characters of a secret, as of `admin.token`. */
const SHORTEST = 16
/** Enough characters where they vary: some services issue secrets of this length. */
const SHORTEST_VARIED = 12
const VARIED = 8

/** Whether a secret can be found by guessing. */
function isWeak(text: string): boolean {
  return text.length < SHORTEST && (text.length < SHORTEST_VARIED || new Set(text).size < VARIED)
}

/** A problem of a secret. The message follows the name of its place and never quotes the secret. */
export interface Judgement {
  readonly message: string
  readonly level?: 'warning'
}

/** Blanks, line breaks, byte order marks and characters without width around a text are left out. */
export function trimmed(text: string): string {
  return text.replace(EDGES, '')
}

const EDGES = /^[\s\p{Cc}\p{Cf}]+|[\s\p{Cc}\p{Cf}]+$/gu

/** Judges the text at a path, its references resolved: nothing where it is not the place of a secret. */
export function judgeText(path: Path, text: string): Judgement[] {
  if (isIn(path, CREDENTIALS))
    return judgeSecret(
      text,
      CHOSEN.some((pattern) => matches(path, pattern)),
    )
  if (!isIn(path, CARRIERS) && !isIn(path, ENVIRONMENTS)) return []
  const damage = damageOf(text)
  return damage === undefined ? unresolved(text) : [{ message: damage }]
}

/**
 * Returns the problems of a secret that cannot match, or can be guessed. `isChosen`: an operator chose it, so a longer one
 * can be demanded.
 */
export function judgeSecret(text: string, isChosen: boolean): Judgement[] {
  if (text === '') return []
  const error = secretError(text, isChosen)
  if (error !== undefined) return [{ message: error }]
  return [...unresolved(text), ...oddities(text)]
}

/** U+FFFD is what programs make of bytes that are not UTF-8: the text that was meant is lost. */
function damageOf(text: string): string | undefined {
  const at = text.indexOf('\ufffd')
  if (at === -1) return undefined
  return `has U+FFFD after ${at} characters, which stands for bytes that were not UTF-8: write it again, in UTF-8`
}

function secretError(text: string, isChosen: boolean): string | undefined {
  const damage = damageOf(text)
  if (damage !== undefined) return damage
  if (trimmed(text) !== text) return 'has blanks or line breaks at its start or end: remove them'
  const hidden = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]|[^\S ]/u.exec(text)
  if (hidden !== null) {
    const code = hidden[0].codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')
    const what = /[\r\n]/.test(hidden[0]) ? 'a line break' : `an invisible character (U+${code})`
    return `has ${what} after ${hidden.index} characters: remove it`
  }
  if (/^(["'`]).+\1$/.test(text) || /^[“‘„«].+[”’“»]$/.test(text)) {
    return 'has quotes around it, which count as part of the secret: remove them'
  }
  if (/\s#/.test(text))
    return 'has " #" in it: a comment stands in a line of its own, so remove what follows the secret'
  if (PLACEHOLDER.test(text)) return 'is a placeholder: write the secret itself'
  if (isChosen && isWeak(text)) {
    return `is too short: at least ${SHORTEST} characters, as from openssl rand -hex 24`
  }
  return undefined
}

const PLACEHOLDER =
  /^(whsec_)?(<[^>]*>|\.{3,}|…|[xX*]{3,}|change[-_ ]?me.*|replace[-_ ]?me.*|your[-_ ].*(secret|key|token).*|(my[-_])?(secret|password|token|webhook[-_]?secret)|todo|test|none|null|undefined)$/i

function oddities(text: string): Judgement[] {
  const found: string[] = []
  if (/ /.test(text)) found.push('has a blank in it: is all of it the secret?')
  if (/[^\x20-\x7e]/.test(text)) {
    found.push('has characters in it that are not ASCII: it only matches if the other side uses the same UTF-8 bytes')
  }
  if (/^["'`]|["'`]$/.test(text)) found.push('starts or ends with a quote: is it part of the secret?')
  if (/^(export )?[A-Z_][A-Z0-9_]*=[^=]/.test(text)) found.push('looks like NAME=value: write the value only')
  if (/^(~|\.{1,2}|\/run|\/etc|\/var)\/|^(file|credential|env):/.test(text)) {
    found.push('looks like a path: write ${file:/path} or ${credential:name} for what is in a file')
  }
  return found.map((message) => ({ message, level: 'warning' }))
}

/** Forms of other programs for a variable, which are sent as they stand. */
const FOREIGN: readonly (readonly [pattern: RegExp, form: string])[] = [
  [/(?<![\w$])\$([A-Z_][A-Z0-9_]+)(?!\w)|(?:^|\s)\$([A-Za-z_]\w*)$/, '$NAME'],
  [/\$\(([^()]*)\)/, '$(NAME)'],
  [/\$(?:file|credential|env):\S/, '$file:'],
  [/%([A-Z_][A-Z0-9_]{2,})%/, '%NAME%'],
  [/\$\{[^}]*\}/, '${NAME} in the value of a variable or file'],
  [/#\{\w+\}/, '#{NAME}'],
]

const FOREIGN_TEMPLATE = /\{\{\s*\$?(?:env|secrets?|vars|environment|file|credential)\b[^}]*\}\}/i

function unresolved(text: string): Judgement[] {
  // JSONata has variables of its own.
  const outside = text.replace(/\{\{.*?\}\}/gs, '')
  const form = FOREIGN_TEMPLATE.test(text) ? '{{ env.NAME }}' : FOREIGN.find(([pattern]) => pattern.test(outside))?.[1]
  if (form === undefined) return []
  return [
    { message: `has ${form} in it, which is sent as it stands: a reference is written \${NAME}`, level: 'warning' },
  ]
}
