/** `127.0.0.1:8080`, or `[::1]:8080` where the host is an IPv6 address. */
export function hostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
