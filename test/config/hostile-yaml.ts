import { readdirSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { anyText } from '../any-text.ts'

const root = new URL('../../../', import.meta.url)
const read = (path: string) => readFileSync(new URL(path, root), 'utf8')

/** What the references in them stand for. */
export const HOSTILE_ENV: NodeJS.ProcessEnv = {
  PATH: process.env.PATH,
  A: 'value',
  ULTRAVOX_WEBHOOK_SECRET: 'whsec_of_the_account',
  ULTRAVOX_API_KEY: 'key_of_the_account',
  CRM_TOKEN: 'token_of_the_crm',
  CRM_SECRET: 'secret_of_the_crm',
  SLACK_WEBHOOK_URL: 'https://hooks.slack.test/services/x',
}

/** Configurations that are sound, and hold nearly all there is. */
export const SOUND_FILES = [
  read('relay.example.yaml'),
  // With all that is commented out in it.
  read('relay.example.yaml').replace(/^( +)# (\w+:|- | {2})/gm, '$1$2'),
  ...readdirSync(new URL('config/examples/', root)).map((name) => read(`config/examples/${name}`)),
  ...[...read('README.md').matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, yaml]) => yaml!),
].map((text) => text.replace(/\.\/config\/hooks\/\S+?\.sh|\.\/\S+?\.sh/g, 'cat'))

const PIECES = [
  ...[
    '[',
    ']',
    '{',
    '}',
    '"',
    "'",
    ':',
    ': ',
    '- ',
    ',',
    '#',
    '\n',
    '\n  ',
    '\t',
    '|\n',
    '>-\n',
    '? ',
    '---\n',
    '...\n',
    '%YAML 9\n',
  ],
  ...[
    '&a ',
    '*a',
    '&a [*a]',
    '<<: *a',
    '!!binary ',
    '!!set ',
    '!!map ',
    '!x ',
    '!<tag:x> ',
    '!!float nan',
    '@',
    '`',
    '\\',
    '\0',
    '\ufeff',
  ],
  ...[
    'null',
    '~',
    'true',
    '0x10',
    '1e999',
    '-.inf',
    '.nan',
    '9'.repeat(40),
    '1_000',
    '2026-01-15',
    '-1',
    '0',
    '""',
    '{}',
    '[]',
    '12:30:45',
  ],
  ...[
    '${',
    '${A}',
    '${file:/dev/null}',
    '${file:.}',
    '${credential:x}',
    '${A:-${B}}',
    '$${',
    '{{',
    '{{ a. }}',
    '}}',
    '{{ ( }}',
    'a[',
    '$$',
  ],
  ...[
    '__proto__: 1\n',
    'constructor: {}\n',
    'toString',
    'hasOwnProperty: x\n',
    '\ud800',
    '\u2028',
    '😀',
    'whsec_x',
    '72h',
    '5s',
    '10gb',
  ],
]

const change = fc.record({
  at: fc.nat(),
  drop: fc.oneof(fc.constant(0), fc.nat(30), fc.nat(300)),
  put: fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...PIECES) },
    { weight: 2, arbitrary: anyText({ maxLength: 6 }) },
    // A piece from elsewhere: its keys are known, and come twice or in the wrong place.
    {
      weight: 2,
      arbitrary: fc
        .tuple(fc.constantFrom(...SOUND_FILES), fc.nat(), fc.nat(80))
        .map(([text, from, length]) => text.slice(from % text.length).slice(0, length)),
    },
  ),
})

/** Files that were sound once, and files that never were. */
export const hostileYaml: fc.Arbitrary<string> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .tuple(fc.constantFrom(...SOUND_FILES), fc.array(change, { minLength: 1, maxLength: 3 }))
      .map(([sound, changes]) =>
        changes.reduce((text, { at, drop, put }) => {
          const place = at % (text.length + 1)
          return text.slice(0, place) + put + text.slice(place + drop)
        }, sound),
      ),
  },
  { weight: 1, arbitrary: fc.array(fc.constantFrom(...PIECES), { maxLength: 40 }).map((pieces) => pieces.join('')) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom(...PIECES), fc.integer({ min: 50, max: 5_000 }))
      .map(([piece, times]) => `targets: ${piece.repeat(times)}`),
  },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString('latin1')) },
)
