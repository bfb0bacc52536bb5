import type { Config, SourceConfig } from '../config/config.ts'
import { RelayError } from '../domain/errors.ts'
import { hostPort } from '../domain/host-port.ts'
import { unknownName } from '../operations/known-target.ts'
import { ownOrigin } from './own-listener.ts'

/** The source of this name, or the first one configured. Throws `unknown_name`. */
export function chosenSource(config: Config, asked: string | undefined): [string, SourceConfig] {
  const sources = Object.entries(config.sources)
  const found = asked === undefined ? sources[0] : sources.find(([name]) => name === asked)
  if (found !== undefined) return found
  throw unknownName('source', asked!, Object.keys(config.sources))
}

/** Where a relay on this machine takes what comes for a source. Throws `usage` where that is any free port. */
export function sourceUrl(config: Config, { path }: SourceConfig): string {
  const { listen } = config.server
  if (listen.port === 0) {
    throw new RelayError('usage', 'server.listen has port 0, any free one: give it a port to find the relay on')
  }
  return `${ownOrigin(config, hostPort(listen.host, listen.port))}${path}`
}
