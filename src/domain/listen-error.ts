import { errorMessage } from './errors.ts'

/** Why a listener cannot be opened, and what to do about it, by the system's code; follows "cannot listen on ADDRESS: ". */
export function listenProblem(error: unknown, port: number | null): string {
  const { code } = error as { code?: unknown }
  const known = explanation(code, port)
  return known === undefined ? errorMessage(error) : `${known} (${code})`
}

function explanation(code: unknown, port: number | null): string | undefined {
  switch (code) {
    case 'EADDRINUSE':
      return port === null
        ? 'another process listens there already: stop it, or choose another path'
        : `another process has this port: find it with ss -ltnp 'sport = :${port}' and stop it, or choose another port`
    case 'EACCES':
    case 'EPERM':
      // libuv reports a missing directory of a socket as EACCES.
      return port === null
        ? 'the directory of the socket does not exist, or the user the relay runs as may not write into it: create it, or change its owner'
        : `permission denied${port < 1024 ? ': ports below 1024 are reserved. Choose a higher one and put a proxy in front, use ultravox-relay.socket of systemd, or allow it with setcap cap_net_bind_service=+ep on the node binary' : ''}`
    case 'EADDRNOTAVAIL':
      return 'this machine has no such address: ip address lists those that it has; 0.0.0.0 stands for all'
    case 'EAFNOSUPPORT':
      return 'this machine does not speak this kind of address: IPv6 may be off'
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'the name cannot be resolved: write an address, such as 127.0.0.1'
    case 'EMFILE':
    case 'ENFILE':
      return 'too many files are open: raise the limit (ulimit -n, LimitNOFILE=)'
    case 'ENOTDIR':
      return 'a part of the path is not a directory'
    default:
      return undefined
  }
}
