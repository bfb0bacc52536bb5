import { resolve } from 'node:path'
import { peculiarityOfHost } from '../../domain/link-local.ts'
import type { Draft, SoundTarget } from '../draft.ts'
import type { Finding, Path } from '../finding.ts'
import { isUnixUrl, parseUnixUrl } from '../unix-url.ts'

type RequestTarget = Extract<SoundTarget, { type?: 'http' | undefined } | { type?: 'slack' | undefined }>

/** The longest path that fits into a socket address; a longer one is cut without a word, and leads elsewhere. */
const SOCKET_PATH_BYTES = 107

/** Ways to a target that exclude each other, and addresses that are not connected to. */
export function* checkConnections(draft: Draft): Iterable<Finding> {
  const { targets, ultravox, tracing } = draft
  const { directory } = draft.surroundings
  for (const { baseUrl, proxy, tls, path } of ultravox) {
    yield* neverFindings(baseUrl, [...path, 'baseUrl'])
    yield* neverFindings(proxy?.reveal(), [...path, 'proxy'])
    if (tls !== undefined && baseUrl !== undefined && !/^https:/i.test(baseUrl)) {
      const message = 'has no use without https: write https:// in baseUrl, or remove it'
      yield { path: [...path, 'tls'], message, at: 'key' }
    }
  }
  yield* neverFindings(tracing?.otlp, ['tracing', 'otlp'])
  for (const [name, target] of targets) {
    if (target.type !== 'http' && target.type !== 'slack') continue
    for (const finding of connectionFindings(target, directory)) {
      yield { ...finding, path: ['targets', name, ...finding.path] }
    }
  }
}

function* connectionFindings(target: RequestTarget, directory: string): Iterable<Finding> {
  const urlKey = target.type === 'slack' ? 'webhookUrl' : 'url'
  const url = (target.type === 'http' ? target.url : target.type === 'slack' ? target.webhookUrl : undefined)?.reveal()
  const unix = url !== undefined && isUnixUrl(url)
  const socketKey = target.socketPath !== undefined ? 'socketPath' : unix ? urlKey : undefined

  if (target.tls !== undefined && url !== undefined && !/^https:/i.test(url)) {
    const fix = unix ? 'remove it' : `write https:// in ${urlKey}, or remove it`
    yield { path: ['tls'], message: `has no use without https: ${fix}`, at: 'key' }
  }
  if (target.socketPath !== undefined) yield* socketFindings(target.socketPath, url, urlKey, directory)
  if (unix) yield* lengthFindings(parseUnixUrl(url)?.socketPath ?? '', urlKey)

  if (target.proxy !== undefined && socketKey !== undefined) {
    const message = `cannot lead to a unix socket, which ${socketKey} names: remove one of the two`
    yield { path: ['proxy'], message, at: 'key' }
  }
  yield* neverFindings(target.proxy?.reveal(), ['proxy'])
  if (target.type !== 'http') {
    if (!unix) yield* neverFindings(url, [urlKey])
  } else if (target.allowLinkLocal) {
    const other = target.proxy !== undefined ? 'a proxy' : socketKey !== undefined ? 'a unix socket' : undefined
    const message = `has no use with ${other}, where no address is looked at: remove it`
    if (other !== undefined) yield { path: ['allowLinkLocal'], message, at: 'key' }
  } else if (target.proxy === undefined && socketKey === undefined && url !== undefined) {
    const peculiarity = peculiarityOfHost(new URL(url).hostname)
    const message = `leads to ${peculiarity}: write allowLinkLocal: true too if it is meant`
    if (peculiarity !== null) yield { path: ['url'], message }
  }
}

/** An address that no setting allows. */
function* neverFindings(url: string | undefined, path: Path): Iterable<Finding> {
  const peculiarity = url === undefined ? null : peculiarityOfHost(new URL(url).hostname)
  if (peculiarity !== null) yield { path, message: `leads to ${peculiarity}, which is never connected to` }
}

function* socketFindings(
  socketPath: string,
  url: string | undefined,
  urlKey: string,
  directory: string,
): Iterable<Finding> {
  if (url !== undefined && isUnixUrl(url)) {
    yield { path: ['socketPath'], message: `is named by ${urlKey} too: remove it, or write http:// there`, at: 'key' }
  } else if (url !== undefined && !/^http:/i.test(url)) {
    yield { path: ['socketPath'], message: `is spoken to in plain HTTP: write http:// in ${urlKey}`, at: 'key' }
  }
  yield* lengthFindings(resolve(directory, socketPath), 'socketPath')
}

function* lengthFindings(socketPath: string, key: string): Iterable<Finding> {
  if (Buffer.byteLength(socketPath) <= SOCKET_PATH_BYTES) return
  yield { path: [key], message: `has a socket path of more than ${SOCKET_PATH_BYTES} bytes, the most there can be` }
}
