import { resolve } from 'node:path'
import { Secret } from '../domain/secret.ts'
import type { ConnectionConfig, HttpTargetConfig, Pacing, SlackTargetConfig, TlsConfig } from './config.ts'
import { isPem, readPem } from './pem.ts'
import type { RelayFile } from './schema.ts'
import { wholeChain } from './server-tls.ts'
import { parseUnixUrl } from './unix-url.ts'

/** A target of one kind as it stands in a valid file. */
export type FileTarget<Kind extends string> = Extract<RelayFile['targets'][string], { type: Kind }>

/** What is particular to an http target. */
export function httpTarget(target: FileTarget<'http'>, directory: string): Omit<HttpTargetConfig, keyof Pacing> {
  const { type, method, redact, body, nulls, sign, retryOn, rejectOn, allowLinkLocal } = target
  const { url, ...connection } = connectionConfig(target.url, target, directory)
  return {
    type,
    url,
    method,
    ...connection,
    redact,
    body: body ?? null,
    nulls,
    sign: sign ?? null,
    retryOn,
    rejectOn,
    allowLinkLocal,
    maxConnectionAgeMs: target.maxConnectionAge,
    maxHeadBytes: target.responseHeaderLimit,
  }
}

/** Returns what is specific to a slack target. */
export function slackTarget(target: FileTarget<'slack'>, directory: string): Omit<SlackTargetConfig, keyof Pacing> {
  const { type, webhookUrl, text, blocks, nulls } = target
  const { url, ...connection } = connectionConfig(webhookUrl, target, directory)
  return { type, webhookUrl: url, text: text ?? null, blocks: blocks ?? null, nulls, ...connection }
}

/** Returns how a target that sends HTTP requests connects, and the http or https URL that it asks for. */
function connectionConfig(
  written: Secret,
  target: FileTarget<'http' | 'slack'>,
  directory: string,
): ConnectionConfig & { url: Secret } {
  const { headers, tls, proxy } = target
  const unix = written.isMissing ? undefined : parseUnixUrl(written.reveal())
  const socketPath = target.socketPath === undefined ? null : resolve(directory, target.socketPath)
  return {
    url: unix === undefined ? written : new Secret(unix.url),
    headers,
    tls: tls === undefined ? null : tlsConfig(tls, directory),
    socketPath: unix === undefined ? socketPath : unix.socketPath,
    proxy: proxy ?? null,
  }
}

/** Files are read once, at the start: a relay that has been checked does not stumble over a renewed one later. */
export function tlsConfig(tls: NonNullable<FileTarget<'http'>['tls']>, directory: string): TlsConfig {
  const pem = (value: Secret | undefined) => {
    const read = value === undefined ? undefined : readPem(value, directory)
    return read !== undefined && 'text' in read ? new Secret(read.text) : null
  }
  const whole = (value: Secret | undefined) => {
    const read = pem(value)
    return read && wholeChain(read)
  }
  const { ca, cert, key, servername, insecure } = tls
  const files = [ca, cert, key].flatMap((value) =>
    value === undefined || value.isMissing || isPem(value) ? [] : resolve(directory, value.reveal()),
  )
  return { ca: whole(ca), cert: whole(cert), key: pem(key), servername: servername ?? null, insecure, files }
}
