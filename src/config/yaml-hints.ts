/**
 * What the parser's error codes mostly mean in this file. Its own messages are not shown: they speak of tokens and
 * flow maps, and some quote what they stumbled over, which may be a secret.
 */
const HINTS: Readonly<Record<string, string>> = {
  BAD_ALIAS: 'an unquoted * starts an alias; put it into quotes, as in ["*"]',
  BAD_DQ_ESCAPE: 'an unknown \\ escape between double quotes; write \\\\ for a backslash, or use single quotes',
  BAD_INDENT: 'this line is indented differently from its neighbours; line them up, and close every [ and {',
  BAD_SCALAR_START: 'a value cannot start with this character; put it into quotes',
  BLOCK_AS_IMPLICIT_KEY: 'there is a second ": " on this line; put the value into quotes',
  MULTILINE_IMPLICIT_KEY: 'this is neither "key: value" nor "- item"; perhaps a ":" is missing',
  MULTIPLE_DOCS: 'a second document starts here; keep everything in one, without "---"',
  TAB_AS_INDENT: 'a tab cannot indent; use spaces',
  TAG_RESOLVE_FAILED: 'a value that starts with ! is a tag; put it into quotes',
  UNEXPECTED_TOKEN: 'this does not belong here; quote values with ": " or " #" in them, and ${...} inside [ ] or { }',
}

/** A sentence for an error of the YAML parser: what to look for, and what to write instead. */
export function yamlHint(code: string, message: string): string {
  if (code === 'MISSING_CHAR' && message.includes('quote')) return 'a quote is opened and never closed'
  if (code === 'MISSING_CHAR') return 'a "," or ":" is missing; inside [ ] or { }, put ${...} into quotes'
  return HINTS[code] ?? 'check the indentation, quotes and brackets here'
}
