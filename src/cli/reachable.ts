/** Where a relay that listens on `listen`, perhaps on all addresses, can be reached from here. */
export function reachableAt(listen: string): string {
  return listen.replace(/^0\.0\.0\.0:/, '127.0.0.1:').replace(/^\[::\]:/, '[::1]:')
}
