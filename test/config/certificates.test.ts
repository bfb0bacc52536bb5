import { execFileSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { chainRemarks } from '../../src/config/certificate-chain.ts'
import { loadConfig } from '../../src/config/load.ts'
import { certificatesIn } from '../../src/config/pem.ts'
import { ConfigError } from '../../src/config/problem.ts'
import { ENCRYPTED_KEY, SELF_SIGNED } from '../targets/self-signed.ts'
import {
  EXPIRED,
  FOR_CLIENTS_ONLY,
  NOT_YET_VALID,
  SOUND,
  TRIAL_AUTHORITY,
  TRIAL_KEY,
} from '../targets/trial-certificates.ts'
import { completed } from './relay-yaml.ts'
import { INTERMEDIATE, LEAF, LEAF_KEY, NAMELESS, ODD_CURVE, ROOT, WEAK, WEAK_KEY } from './trial-chain.ts'

const WHOLE = LEAF + INTERMEDIATE + ROOT
const der = (pem: string) => new X509Certificate(pem).raw
const SERVER = 'server:\n  tls: { cert: cert.pem, key: key.pem }\n'
const WEBHOOK =
  'ultravox: { apiKey: a-marked-key, webhook: { source: ultravox, url: "https://HOST/webhooks/ultravox" } }\n'

interface Files {
  readonly cert: string | Uint8Array
  readonly key: string | Uint8Array
}

/** What a configuration with these files is told, each with its level and place. */
function told(t: Test, { cert, key }: Files, yaml = SERVER) {
  const directory = mkdtempSync(join(tmpdir(), 'relay-test-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  writeFileSync(join(directory, 'cert.pem'), cert)
  writeFileSync(join(directory, 'key.pem'), key)
  const file = join(directory, 'relay.yaml')
  writeFileSync(file, completed(yaml))
  try {
    const { config, warnings, notes } = loadConfig(file, { PATH: process.env.PATH })
    const of = (level: string, all: typeof warnings) => all.map(({ path, message }) => `${level} ${path}: ${message}`)
    return { config, told: [...of('warning', warnings), ...of('note', notes)] }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return { told: error.problems.map(({ path, message }) => `error ${path}: ${message}`) }
  }
}

t.test('a certificate that clients will reject is warned about, with the fix', async (t) => {
  const of = (cert: string) => ({ cert: cert + TRIAL_AUTHORITY, key: TRIAL_KEY })
  const cases: [string, Files, RegExp][] = [
    ['expired', of(EXPIRED), /^warning server\.tls\.cert: expired at .*renew it$/],
    ['not yet valid', of(NOT_YET_VALID), /^warning server\.tls\.cert: is not valid before .*clock/],
    ['made for clients', of(FOR_CLIENTS_ONLY), /^warning server\.tls\.cert: .*lacks serverAuth/],
    [
      'without its issuer',
      { cert: SOUND, key: TRIAL_KEY },
      /^warning .*comes alone.*"Trial authority".*fullchain\.pem/,
    ],
    [
      'no root at the end',
      { cert: LEAF + INTERMEDIATE, key: LEAF_KEY },
      /^warning .*lacks a certificate.*"Trial root"/,
    ],
    ['issuers swapped', { cert: LEAF + ROOT + INTERMEDIATE, key: LEAF_KEY }, /^warning .*wrong order.*fullchain\.pem/],
    [
      'without names',
      { cert: NAMELESS + INTERMEDIATE + ROOT, key: LEAF_KEY },
      /^warning .*no subject alternative name/,
    ],
    ['self-signed', { cert: SELF_SIGNED.cert, key: SELF_SIGNED.key }, /^note server\.tls\.cert: is self-signed/],
  ]
  for (const [what, files, words] of cases) {
    const { told: all } = told(t, files)
    t.equal(all.length, 1, `${what}: ${all.join(' | ')}`)
    t.match(all[0], words, what)
  }
  t.same(told(t, { cert: WHOLE, key: LEAF_KEY }).told, [])
})

t.test('an issuer that clients know need not be in the file', async (t) => {
  const use = { role: 'server', hosts: [], now: Date.UTC(2026, 0, 1) } as const
  const chain = certificatesIn(LEAF + INTERMEDIATE)!
  t.equal([...chainRemarks(chain, use)].length, 1)
  t.same([...chainRemarks(chain, { ...use, roots: [SELF_SIGNED.cert, ROOT] })], [])
})

t.test('the certificate is compared with the URL that Ultravox is given', async (t) => {
  const files = { cert: WHOLE, key: LEAF_KEY }
  for (const host of ['relay.example.com', 'relay.example.com.', 'RELAY.example.com:8443', '127.0.0.1']) {
    t.same(told(t, files, SERVER + WEBHOOK.replace('HOST', host)).told, [], host)
  }
  for (const host of ['hooks.example.com', 'a.relay.example.com', '127.0.0.2']) {
    const { told: all } = told(t, files, SERVER + WEBHOOK.replace('HOST', host))
    t.match(all, [/^warning server\.tls\.cert: is for relay\.example\.com, localhost, 127\.0\.0\.1, not for /], host)
    t.match(all[0], `not for ${host}`)
  }
})

t.test('a key that OpenSSL accepts here and clients reject is warned about', async (t) => {
  const remarks = (pem: string, role: 'server' | 'client') => {
    const chain = certificatesIn(pem)!
    return [...chainRemarks(chain, { role, hosts: [], now: Date.UTC(2030, 0), roots: [] })].map(
      ({ message }) => message,
    )
  }
  t.match(
    remarks(WEAK, 'server').join(),
    /has an RSA key of \d+ bits, which most clients reject: .*2048 bits or a P-256/,
  )
  t.match(remarks(ODD_CURVE, 'client').join(), /has a key on the curve secp256k1, which most servers reject/)
  t.notMatch(remarks(WHOLE, 'server').join(), /key/)
})

t.test('files that cannot be used are named as what they are', async (t) => {
  const pkcs8 = createPrivateKey(LEAF_KEY).export({ type: 'pkcs8', format: 'der' })
  const sec1 = createPrivateKey(LEAF_KEY).export({ type: 'sec1', format: 'der' })
  const pkcs12 = Buffer.from('3082045a02010330820420', 'hex')
  const cases: [string, Files, RegExp][] = [
    [
      'issuer first',
      { cert: INTERMEDIATE + LEAF, key: LEAF_KEY },
      /cert: has its certificates in the wrong order.*number 2 of 2/,
    ],
    [
      'issuers only',
      { cert: INTERMEDIATE, key: LEAF_KEY },
      /cert: holds only authorities \("Trial intermediate"\).*fullchain/,
    ],
    ['another key', { cert: LEAF, key: TRIAL_KEY }, /key: does not belong to the certificate/],
    ['weak key', { cert: WEAK, key: WEAK_KEY }, /cert: is rejected by OpenSSL \(.*too small\).*2048 bits/],
    ['passphrase', { cert: LEAF, key: ENCRYPTED_KEY }, /key: has a passphrase/],
    [
      'swapped',
      { cert: LEAF_KEY, key: LEAF_KEY },
      /cert: holds no sound certificate.*private key; are cert and key swapped/,
    ],
    [
      'certificate as key',
      { cert: LEAF, key: LEAF },
      /key: holds no private key.*certificate; are cert and key swapped/,
    ],
    ['DER', { cert: der(LEAF), key: LEAF_KEY }, /cert: is a certificate in DER form.*openssl x509 -inform der/],
    ['DER key', { cert: LEAF, key: pkcs8 }, /key: is a private key in DER form.*openssl pkey -inform der/],
    ['DER key of another kind', { cert: LEAF, key: sec1 }, /key: is a private key in DER form/],
    ['PKCS#12', { cert: pkcs12, key: LEAF_KEY }, /cert: is a PKCS#12 file.*openssl pkcs12/],
    ['UTF-16', { cert: Buffer.from(`\ufeff${LEAF}`, 'utf16le'), key: LEAF_KEY }, /cert: is UTF-16 text.*iconv/],
    [
      'a broken intermediate',
      { cert: LEAF + INTERMEDIATE.replace(/MII.{8}/, 'MIIBAAAAAAA'), key: LEAF_KEY },
      /cert: .*number 2 in it is broken/,
    ],
    [
      'an intermediate that is cut off',
      { cert: LEAF + INTERMEDIATE.slice(0, 300), key: LEAF_KEY },
      /cert: .*number 2 in it is broken/,
    ],
    [
      'one that is cut off and followed by another',
      { cert: LEAF + INTERMEDIATE.slice(0, 300) + ROOT, key: LEAF_KEY },
      /cert: .*number 2 in it is broken/,
    ],
    ['empty', { cert: '', key: LEAF_KEY }, /cert: holds no sound certificate/],
  ]
  for (const [what, files, words] of cases) {
    const { told: all } = told(t, files)
    t.equal(all.length, 1, `${what}: ${all.join(' | ')}`)
    t.match(all[0], new RegExp(`^error server\\.tls\\.${words.source}`), what)
  }
})

t.test('a real PKCS#12 file is recognised', { skip: !hasOpenssl() && 'needs openssl' }, async (t) => {
  const directory = t.testdir({ 'leaf.pem': LEAF, 'leaf.key': LEAF_KEY })
  const [cert, key, out] = ['leaf.pem', 'leaf.key', 'leaf.p12'].map((name) => join(directory, name))
  execFileSync('openssl', ['pkcs12', '-export', '-in', cert!, '-inkey', key!, '-out', out!, '-passout', 'pass:x'])
  const { readFileSync } = await import('node:fs')
  const bytes = readFileSync(out!)
  t.match(told(t, { cert: bytes, key: bytes }).told, [/tls\.cert: is a PKCS#12/, /tls\.key: is a PKCS#12/])
})

t.test(
  'Windows line ends, byte order marks and files put together without a line break lose no certificate',
  async (t) => {
    const windows = (text: string) => `\ufeff${text.replaceAll('\n', '\r\n')}`
    const all = WHOLE + LEAF_KEY
    const cases: [string, Files][] = [
      ['Windows', { cert: windows(WHOLE), key: windows(LEAF_KEY) }],
      ['marks within', { cert: windows(LEAF) + windows(INTERMEDIATE) + windows(ROOT), key: LEAF_KEY }],
      ['no line break between', { cert: LEAF.trimEnd() + INTERMEDIATE.trimEnd() + ROOT.trimEnd(), key: LEAF_KEY }],
      ['key and certificates in one file', { cert: all, key: all }],
      ['key first', { cert: LEAF_KEY + WHOLE, key: LEAF_KEY + WHOLE }],
      ['comments in Latin-1', { cert: Buffer.from(`subject=Trial Gr\xfc\xdfe\n${WHOLE}`, 'latin1'), key: LEAF_KEY }],
    ]
    for (const [what, files] of cases) {
      const { config, told: all } = told(t, files)
      t.same(all, [], what)
      // OpenSSL itself would pass over what does not begin a line.
      t.equal(config!.server.tls!.cert.reveal(), WHOLE, what)
    }
  },
)

t.test('client certificates and authorities of targets are judged like the listener’s', async (t) => {
  const target = (tls: string) => `targets:\n  crm: { type: http, url: "https://crm.internal/", tls: { ${tls} } }\n`
  const mutual = target('cert: cert.pem, key: key.pem')
  const at = (words: string) => new RegExp(`^warning targets\\.crm\\.tls\\.${words}`)
  t.match(told(t, { cert: EXPIRED, key: TRIAL_KEY }, mutual).told, [at('cert: expired at .*the server will reject it')])
  t.match(told(t, { cert: NOT_YET_VALID, key: TRIAL_KEY }, mutual).told, [at('cert: is not valid before')])
  t.same(told(t, { cert: FOR_CLIENTS_ONLY, key: TRIAL_KEY }, mutual).told, [], 'its server may know the issuer')
  t.match(told(t, { cert: WEAK, key: WEAK_KEY }, mutual).told, [
    /^error targets\.crm\.tls\.cert: is rejected by OpenSSL/,
  ])
  const authority = target('ca: cert.pem')
  t.match(told(t, { cert: EXPIRED, key: '' }, authority).told, [at('ca: has only authorities that have expired')])
  t.same(told(t, { cert: EXPIRED + ROOT, key: '' }, authority).told, [])
})

function hasOpenssl(): boolean {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
