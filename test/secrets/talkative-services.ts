import { createServer, STATUS_CODES } from 'node:http'
import type { Test } from 'tap'
import { httpServer, listening, type Received } from '../local-server.ts'

/** What a service keeps of an answer, and of each stream of a program. */
const KEPT = 8 * 1024

/** Everything of a request, in all the ways in which services write it into their answers. */
export function everythingOf({ method, url, headers, body }: Received): string {
  const plain = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  return [
    `Cannot ${method} ${url}`,
    decodeURIComponent(url.replaceAll('+', ' ')),
    ...plain,
    JSON.stringify({ url, headers }),
    JSON.stringify(JSON.stringify({ url, headers })),
    new URLSearchParams(headers as Record<string, string>).toString(),
    ...plain.map(encodeURIComponent),
    ...plain.map((line) => line.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)),
    ...Object.values(headers).map((value) => Buffer.from(String(value)).toString('base64')),
    body.toString(),
  ].join('\n')
}

/**
 * A service that answers with what it was sent: `/teapot` 418, `/busy` 503, and so on by `statuses`. To `/edge` it answers so
 * that what is kept of the answer ends within the Authorization header.
 */
export function talkativeService(t: Test, statuses: Readonly<Record<string, number>>) {
  return httpServer(t, (response, request) => {
    const [, first] = request.url.split(/[/?]/)
    const status = statuses[first!] ?? 200
    const location = status >= 300 && status < 400 ? { location: `http://elsewhere.invalid${request.url}` } : {}
    const { authorization = '' } = request.headers
    const edge = 'x'.repeat(KEPT - Math.ceil(authorization.length / 2)) + authorization
    response.writeHead(status, STATUS_CODES[status], { ...location, 'retry-after': '3600' })
    if (first === 'recording') response.end('RIFF')
    else response.end(first === 'edge' ? edge : everythingOf(request))
  })
}

/** A proxy that lets nobody through, and says who was refused in every way that it has. */
export async function talkativeProxy(t: Test) {
  const server = createServer()
  const asked: string[] = []
  server.on('connect', ({ headers, url }, client) => {
    asked.push(`${url} ${JSON.stringify(headers)}`)
    const credentials = headers['proxy-authorization'] ?? ''
    const pair = Buffer.from(credentials.replace(/^Basic /, ''), 'base64').toString()
    const told = `refused: ${credentials} ${pair}`
    client.on('error', () => {})
    client.end(`HTTP/1.1 407 ${told}\r\nx-refused: ${told}\r\ncontent-length: ${told.length}\r\n\r\n${told}`)
  })
  return { asked, ...(await listening(t, server)) }
}
