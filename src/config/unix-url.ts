/** `http+unix://%2Frun%2Fapp.sock/path`, taken apart. */
export interface UnixUrl {
  readonly socketPath: string
  /** What is asked for over the socket, as an http URL. */
  readonly url: string
}

export function isUnixUrl(written: string): boolean {
  return /^http\+unix:/i.test(written)
}

/** Undefined where it is none, or its socket has no absolute path. */
export function parseUnixUrl(written: string): UnixUrl | undefined {
  const [, host, rest = ''] = /^http\+unix:\/\/([^/?#]+)([/?].*)?$/i.exec(written) ?? []
  const url = `http://localhost${rest}`
  const socketPath = decoded(host ?? '')
  return socketPath.startsWith('/') && URL.canParse(url) ? { socketPath, url } : undefined
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return ''
  }
}
