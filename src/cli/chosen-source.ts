import type { Config, SourceConfig } from '../config/config.ts'
import { RelayError } from '../domain/errors.ts'

/** The source of this name, or the first one configured. Throws `usage` where there is none of this name. */
export function chosenSource(config: Config, asked: string | undefined): [string, SourceConfig] {
  const sources = Object.entries(config.sources)
  const found = asked === undefined ? sources[0] : sources.find(([name]) => name === asked)
  if (found !== undefined) return found
  throw new RelayError('usage', `there is no source ${asked}; there is: ${Object.keys(config.sources).join(', ')}`)
}

/** Where a relay on this machine takes what comes for a source. Throws `usage` where that is any free port. */
export function sourceUrl({ server: { listen } }: Config, { path }: SourceConfig): string {
  if (listen.port === 0) {
    throw new RelayError('usage', 'server.listen has port 0, any free one: give it a port to find the relay on')
  }
  return `http://${reachable(listen)}${path}`
}

/** Where a relay that listens on all addresses can be reached from here. */
function reachable({ host, port }: Config['server']['listen']): string {
  if (host === '0.0.0.0') return `127.0.0.1:${port}`
  if (host === '::') return `[::1]:${port}`
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
