import { type IncomingMessage, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { MASK } from '../domain/secret.ts'

/** Bytes of the answer's body that are read. Squid's pages begin with 2 KB of style sheets. */
const MOST_BYTES = 8 * 1024
/** How long they are waited for: some proxies keep the connection open, and the reason is not worth the attempt's time. */
const WAIT_MS = 1_000
/** Characters of the reason that are shown. */
const LONGEST_REASON = 200
/** Shorter ones would take words out of any text. */
const SHORTEST_CREDENTIAL = 3

/** What was asked of a proxy. */
export interface AskedProxy {
  /** Its host and port. */
  readonly host: string
  /** The host and port that it was to connect to. */
  readonly authority: string
  /** From the URL, decoded; empty where it has none. */
  readonly user: string
  readonly password: string
}

/**
 * Reads why a proxy has answered CONNECT with another status than 2xx, and closes the connection. Resolves to a text for
 * people: status, what to check, and what the proxy says itself, without the credentials. Never rejects.
 */
export async function proxyRejection(
  answer: IncomingMessage,
  socket: Socket,
  head: Buffer,
  asked: AskedProxy,
): Promise<string> {
  const body = await bodyOf(answer, socket, head)
  socket.destroy()
  const said = withoutCredentials(reasonIn(answer, body), asked).slice(0, LONGEST_REASON)
  const advice = adviceOn(answer, asked)
  const reason = said === '' ? '' : advice === '' ? `: ${said}` : ` (${said})`
  return `proxy: http ${answer.statusCode} ${asked.host}${advice === '' ? '' : `: ${advice}`}${reason}`
}

function adviceOn({ statusCode = 0, headers }: IncomingMessage, { authority, user, password }: AskedProxy): string {
  // Some proxies answer 401 where HTTP has 407.
  if (statusCode === 407 || statusCode === 401) {
    const schemes = schemesIn(headers[statusCode === 407 ? 'proxy-authenticate' : 'www-authenticate'])
    if (schemes.length > 0 && !schemes.some((scheme) => scheme.toLowerCase() === 'basic')) {
      return `it asks for ${schemes.join(' or ')}, and the relay can only do Basic`
    }
    return user === '' && password === ''
      ? 'it asks for a user and a password: write them into the URL of "proxy", as in http://user:password@host:port'
      : 'it does not accept the user and password in the URL of "proxy"'
  }
  if (statusCode === 403) return `its rules do not allow a connection to ${authority}`
  if (statusCode === 405 || statusCode === 501) return 'it does not support CONNECT'
  if (statusCode >= 502 && statusCode <= 504) return `it cannot connect to ${authority}`
  return ''
}

/** The names of the schemes, without realms and nonces. */
function schemesIn(header: string | string[] | undefined): string[] {
  const challenges = [header ?? []].flat().join(', ').split(',')
  const names = challenges.map((challenge) => /^\s*([A-Za-z][\w-]{0,30})(\s|$)/.exec(challenge)?.[1])
  return [...new Set(names.filter((name) => name !== undefined))].slice(0, 4)
}

/** What the proxy says: a code in a header, the title or text of a page, or else an unusual reason phrase. */
function reasonIn({ statusCode, statusMessage, headers }: IncomingMessage, body: string): string {
  const code = oneLine(String(headers['x-squid-error'] ?? headers['proxy-status'] ?? headers['x-proxy-error'] ?? ''))
  const page = oneLine(textOf(body, String(headers['content-type'] ?? '')))
  const found = [code, page].filter((text) => text !== '')
  if (found.length > 0) return found.join(': ')
  return statusMessage === STATUS_CODES[statusCode ?? 0] ? '' : oneLine(statusMessage ?? '')
}

/** Of a page its title and its text, of JSON and other texts all. */
function textOf(body: string, contentType: string): string {
  if (!/html/i.test(contentType) && !/^\s*<(!doctype|html)/i.test(body))
    return /^image|^audio/i.test(contentType) ? '' : body
  const title = /<title[^>]*>([^<]*)/i.exec(body)?.[1] ?? ''
  const text = body
    .replace(/<(style|script|head)\b[\s\S]*?(<\/\1>|$)/gi, ' ')
    .replace(/<!--[\s\S]*?(-->|$)/g, ' ')
    .replace(/<[^>]*(>|$)/g, ' ')
  return `${title} ${text}`
}

function oneLine(text: string): string {
  return text.replace(/[\s\p{Cc}\p{Cf}\ufffd]+/gu, ' ').trim()
}

/** Some proxies show the headers that they were sent. */
function withoutCredentials(text: string, { user, password }: AskedProxy): string {
  const pair = `${user}:${password}`
  const forms = [password, pair, user].flatMap((each) => [each, encodeURIComponent(each), base64(each)])
  return forms
    .filter((form) => form.length >= SHORTEST_CREDENTIAL)
    .sort((a, b) => b.length - a.length)
    .reduce((rest, form) => rest.replaceAll(form, MASK), text)
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}

/** Node hands over the connection with the head of the answer, so the body is read as it comes. */
async function bodyOf({ headers }: IncomingMessage, socket: Socket, head: Buffer): Promise<string> {
  if (headers['content-encoding'] !== undefined) return ''
  const isChunked = /chunked/i.test(headers['transfer-encoding'] ?? '')
  const announced = isChunked ? MOST_BYTES : Number(headers['content-length'] ?? MOST_BYTES)
  const most = Math.min(MOST_BYTES, announced)
  const bytes = await read(socket, head, most, isChunked)
  const text = bytes.subarray(0, most).toString('utf8')
  return isChunked ? text.replace(/(^|\r\n)[0-9a-f]{1,8}(;[^\r\n]*)?\r\n/gi, '') : text
}

function read(socket: Socket, head: Buffer, most: number, isChunked: boolean): Promise<Buffer> {
  return new Promise((resolve) => {
    const parts = [head]
    let length = head.length
    const isWhole = () => length >= most || (isChunked && Buffer.concat(parts).includes('\r\n0\r\n'))
    const end = () => {
      clearTimeout(timer)
      socket.off('data', onData).off('end', end).off('close', end)
      resolve(Buffer.concat(parts))
    }
    const onData = (chunk: Buffer) => {
      parts.push(chunk)
      length += chunk.length
      if (isWhole()) end()
    }
    const timer = setTimeout(end, WAIT_MS)
    socket.on('error', () => {})
    if (isWhole() || socket.destroyed) end()
    else socket.on('data', onData).once('end', end).once('close', end).resume()
  })
}
