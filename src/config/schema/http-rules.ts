import { isUnixUrl, parseUnixUrl } from '../unix-url.ts'

const CREDENTIALS_PROBLEM =
  'must not have a user or password in it: put it into headers, as Authorization: "Basic ${...}"'

/** A password with `/`, `?` or `#` in it: what stands before that is taken for the host, and its beginning for a port. */
const UNPARSED_CREDENTIALS = /^https?:\/\/[^/\\?#@\s[\]:]*:(?!\d*[/\\?#])[^@]*[/\\?#][^@]*@/i

/** What is wrong with the URL of a target. Credentials in it would end up in places where URLs are shown. */
export function urlProblem(written: string): string | undefined {
  if (written.includes('{{')) return 'must not have "{{" in it: a template is not filled in here'
  if (UNPARSED_CREDENTIALS.test(written)) return CREDENTIALS_PROBLEM
  if (/[\s\p{Cc}]/u.test(written)) return 'must not have blanks in it: write them as %20'
  if (!/^https?:\/\//i.test(written) || !URL.canParse(written)) {
    return 'must be a whole URL that starts with https:// or http://'
  }
  if (/^[^/]*\/\/[^/\\?#]*@/.test(written)) {
    return CREDENTIALS_PROBLEM
  }
  if (written.includes('#')) return 'must not have a "#fragment": it is never sent, so remove it'
  return undefined
}

/** What is wrong with the URL of an http target, which may lead to a unix socket. */
export function targetUrlProblem(written: string): string | undefined {
  if (!isUnixUrl(written) || written.includes('{{')) return urlProblem(written)
  if (/[\s\p{Cc}#]/u.test(written) || parseUnixUrl(written) === undefined) {
    return 'must have the absolute path of the socket in it, with %2F for "/", as in http+unix://%2Frun%2Fapp.sock/calls'
  }
  return undefined
}

/** What is wrong with the URL of a proxy. Here credentials have no other place. */
export function proxyProblem(written: string): string | undefined {
  const unencoded = credentialsProblem(written)
  if (unencoded !== undefined) return unencoded
  if (!/^http:\/\//i.test(written) || /[\s\p{Cc}]/u.test(written) || !URL.canParse(written)) {
    return 'must be the http:// URL of a proxy, as in http://proxy.internal:3128 or http://user:${...}@proxy.internal:3128'
  }
  const { pathname, search, hash, username, password } = new URL(written)
  if (pathname !== '/' || search !== '' || hash !== '') return 'must end with the port: a proxy has no path'
  try {
    decodeURIComponent(username + password)
    return undefined
  } catch {
    return 'has a code with "%" in its user or password that is not UTF-8: write é as %C3%A9, and "%" itself as %25'
  }
}

/** Characters that end the user and password of a URL, or that start a code, by how they are written in it. */
const ENCODED: readonly (readonly [pattern: RegExp, shown: string, code: string])[] = [
  [/%(?![0-9a-f]{2})/i, '"%"', '%25'],
  [/#/, '"#"', '%23'],
  [/\//, '"/"', '%2F'],
  [/\?/, '"?"', '%3F'],
  [/\\/, '"\\"', '%5C'],
  [/ /, 'a blank', '%20'],
]

/**
 * Which characters in the user or password of a proxy's URL have to be encoded; undefined if there are none. A proxy has no
 * path, so whatever stands before the last `@` is user and password. Names the characters and nothing else of them.
 */
function credentialsProblem(written: string): string | undefined {
  const [, credentials] = /^https?:\/\/(.*)@[^@]*$/is.exec(written) ?? []
  const found = ENCODED.filter(([pattern]) => credentials !== undefined && pattern.test(credentials))
  if (found.length === 0) return undefined
  // Where one is encoded, all should be.
  const all = credentials!.includes('@') ? [...found, [/@/, '"@"', '%40'] as const] : found
  const [[, only, code] = []] = all
  if (all.length === 1) return `has ${only} in its user or password, where it has another meaning: write it as ${code}`
  const codes = all.map(([, shown, code]) => `${shown} as ${code}`).join(', ')
  return `has characters in its user or password that have another meaning in a URL: write ${codes}`
}

/** Set by HTTP itself, or by the relay on each attempt. */
const TAKEN = [
  /^(content-length|transfer-encoding|connection|host)$/i,
  /^webhook-(id|timestamp|signature)$/i,
  /^x-(ultravox-webhook|relay)-/i,
  /^trace(parent|state)$/i,
]

/** They are about a connection, not a request, and the HTTP client refuses to send them. */
const NOT_SENT = /^(expect|keep-alive|upgrade|te|trailer|proxy-connection)$/i

export function headerNameProblem(name: string): string | undefined {
  if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/.test(name)) return 'is no header name: use letters, digits and "-"'
  if (NOT_SENT.test(name)) return 'is a header of connections, which cannot be sent with a request: remove it'
  return TAKEN.some((names) => names.test(name)) ? 'is set by the relay itself: remove it' : undefined
}

/** What is wrong with a header's value that is sent as it is. */
export function headerValueProblem(value: string): string | undefined {
  if (/[^\t\P{Cc}]/u.test(value)) return 'has a line break or control character in it, which no header can carry'
  if (/[^\t\x20-\x7e]/.test(value)) {
    return 'has a character outside of ASCII in it, which receivers decode differently: percent-encode it, as in caf%C3%A9'
  }
  return undefined
}

/** The same for a header of an http target: what a template comes to is made fit for a header with each request. */
export function headerTemplateProblem(value: string): string | undefined {
  return value.includes('{{') ? undefined : headerValueProblem(value)
}

/** A Standard Webhooks secret: base64 of 24 to 64 bytes, `whsec_` before it or not. */
export function signingSecretProblem(written: string): string | undefined {
  const base64 = written.replace(/^whsec_/, '')
  const bytes = Buffer.from(base64, 'base64')
  const isBase64 = bytes.toString('base64').replace(/=+$/, '') === base64.replace(/=+$/, '')
  if (isBase64 && bytes.length >= 24 && bytes.length <= 64) return undefined
  return 'must be whsec_ and the base64 of 24 to 64 bytes: make one with `echo whsec_$(openssl rand -base64 32)`'
}
