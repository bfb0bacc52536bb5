/**
 * The URL of a request, and where its path cannot be decoded (`/%zz`) one that can and says the same: Fastify answers such
 * requests before any hook, so that they would be neither limited, logged nor counted.
 */
export function decodableUrl(url: string): string {
  if (!url.includes('%')) return url
  const [path = ''] = url.split('?', 1)
  try {
    decodeURI(path)
    return url
  } catch {
    return `${path.replaceAll('%', '%25')}${url.slice(path.length)}`
  }
}
