import { RELAY_SOURCE } from '../../domain/relay-events.ts'
import type { Draft } from '../draft.ts'
import { EXAMPLE_SECRET, exampleFindings } from '../example-secret.ts'
import type { Finding } from '../finding.ts'
import { defaultSourcePath } from '../resolve.ts'

export function* checkSources(draft: Draft): Iterable<Finding> {
  if (draft.sources.has(RELAY_SOURCE)) {
    const message = "is the name under which the relay's own events are kept: give this source another"
    yield { path: ['sources', RELAY_SOURCE], message, at: 'key' }
  }
  yield* checkPaths(draft)
  yield* checkExampleSecret(draft)
  yield* checkSecretsGiven(draft)
  for (const [name, source] of draft.sources) {
    if (source.scheme !== 'none') continue
    const message = 'takes anything anyone sends; write scheme: ultravox to take only what Ultravox has signed'
    yield { path: ['sources', name, 'scheme'], message, level: 'warning' }
  }
}

function* checkPaths({ sources }: Draft): Iterable<Finding> {
  const owners = new Map<string, string>()
  for (const [name, source] of sources) {
    // An unsound path is not here; a path not given is, as undefined.
    if (!('path' in source)) continue
    const path = source.path ?? defaultSourcePath(name)
    const owner = owners.get(path)
    if (owner === undefined) owners.set(path, name)
    else yield { path: ['sources', name, 'path'], message: `is the path of sources.${owner} too: give each its own` }
  }
}

function* checkSecretsGiven({ sources, surroundings: { written } }: Draft): Iterable<Finding> {
  for (const [name, { scheme }] of sources) {
    const isGiven = ['secrets', 'secretsFile'].some((key) => written(['sources', name, key]) !== undefined)
    if (scheme !== 'ultravox' || isGiven) continue
    const ways = 'secrets: ["${ULTRAVOX_WEBHOOK_SECRET}"], or secretsFile: ./ultravox.secrets'
    yield { path: ['sources', name, 'secrets'], message: `is missing: write ${ways}` }
  }
}

function* checkExampleSecret(draft: Draft): Iterable<Finding> {
  for (const [name, { secrets }] of draft.sources) {
    for (const [index, secret] of (secrets ?? []).entries()) {
      if (secret.isMissing || secret.reveal() !== EXAMPLE_SECRET) continue
      for (const finding of exampleFindings(draft)) yield { path: ['sources', name, 'secrets', index], ...finding }
    }
  }
}
