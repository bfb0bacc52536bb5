/** What is wrong with a key as the value of a header; it does not quote the key. */
export function apiKeyProblem(key: string): string | undefined {
  return /^[\x21-\x7e]+$/.test(key) ? undefined : 'must be plain ASCII with no blanks'
}
