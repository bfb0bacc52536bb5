/** What is wrong with the URL of a target. Credentials in it would end up in places where URLs are shown. */
export function urlProblem(written: string): string | undefined {
  if (/[\s\p{Cc}]/u.test(written)) return 'must not have blanks in it: write them as %20'
  if (!/^https?:\/\//i.test(written) || !URL.canParse(written)) {
    return 'must be a whole URL that starts with https:// or http://'
  }
  if (/^[^/]*\/\/[^/\\?#]*@/.test(written)) {
    return 'must not have a user or password in it: put it into headers, as Authorization: "Basic ${...}"'
  }
  if (written.includes('#')) return 'must not have a "#fragment": it is never sent, so remove it'
  return undefined
}

/** Set by HTTP itself, or by the relay on each attempt. */
const TAKEN = [
  /^(content-length|transfer-encoding|connection|host)$/i,
  /^webhook-(id|timestamp|signature)$/i,
  /^x-(ultravox-webhook|relay)-/i,
]

export function headerNameProblem(name: string): string | undefined {
  if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/.test(name)) return 'is no header name: use letters, digits and "-"'
  return TAKEN.some((names) => names.test(name)) ? 'is set by the relay itself: remove it' : undefined
}

export function headerValueProblem(value: string): string | undefined {
  if (/[^\t\x20-\x7e\x80-\xff]/.test(value)) {
    return 'has a line break, control character or non-Latin character in it, which no header can carry'
  }
  return undefined
}

/** A Standard Webhooks secret: base64 of 24 to 64 bytes, `whsec_` before it or not. */
export function signingSecretProblem(written: string): string | undefined {
  const base64 = written.replace(/^whsec_/, '')
  const bytes = Buffer.from(base64, 'base64')
  const isBase64 = bytes.toString('base64').replace(/=+$/, '') === base64.replace(/=+$/, '')
  if (isBase64 && bytes.length >= 24 && bytes.length <= 64) return undefined
  return 'must be whsec_ and the base64 of 24 to 64 bytes: make one with `echo whsec_$(openssl rand -base64 32)`'
}
