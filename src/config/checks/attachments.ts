import type { Draft, SoundTarget } from '../draft.ts'
import type { Finding, Path } from '../finding.ts'

type Accounts = Draft['ultravox']

/** What is to be attached and cannot be: nowhere to fetch it from, switched off, or no way to send it. */
export function* checkAttachments({ targets, ultravox }: Draft): Iterable<Finding> {
  for (const [name, target] of targets) {
    const { attach = [] } = target
    const path = ['targets', name]
    yield* notToBeHad(attach, [...path, 'attach'], ultravox)
    if (attach.some((asked) => asked === 'recording')) yield* notToBeSent(target, path)
    else yield* withoutUse(target, path)
  }
}

function* notToBeHad(attach: readonly string[], path: Path, accounts: Accounts): Iterable<Finding> {
  if (attach.length === 0) return
  if (accounts.length === 0) {
    const message = 'is fetched from the REST API, which takes a key: add ultravox: { apiKey: ${ULTRAVOX_API_KEY} }'
    yield { path, message, at: 'key' }
    return
  }
  for (const [index, asked] of attach.entries()) {
    if (accounts.some(({ enrich }) => enrich?.[asked as 'transcript' | 'recording'] !== false)) continue
    const message = `is switched off: write ultravox.enrich.${asked}: true, or remove it here`
    yield { path: [...path, index], message }
  }
}

/** A recording as a file goes with its event in one request, or to a program that can read it. */
function* notToBeSent(target: SoundTarget, path: Path): Iterable<Finding> {
  if (!('recordingAs' in target) || target.recordingAs !== 'file') return
  const instead = 'write recordingAs: url, or remove this'
  if (target.type === 'http') {
    if (target.sign !== undefined) {
      const message = `cannot cover a recording that is sent as a file, which is not at hand as a whole: ${instead}`
      yield { path: [...path, 'sign'], message, at: 'key' }
    }
    const contentType = Object.keys(target.headers ?? {}).find((name) => name.toLowerCase() === 'content-type')
    if (contentType !== undefined) {
      const message = `is multipart/form-data where a recording is sent as a file: ${instead}`
      yield { path: [...path, 'headers', contentType], message, at: 'key' }
    }
  }
  if (target.type === 'exec' && target.user !== undefined) {
    const message = `could not read a recording that is attached as a file, which is the relay's own: ${instead}`
    yield { path: [...path, 'user'], message, at: 'key' }
  }
}

function* withoutUse(target: SoundTarget, path: Path): Iterable<Finding> {
  if (!('recordingAs' in target) || target.recordingAs !== 'file') return
  const message = 'has no use without the recording: write attach: [recording], or remove it'
  yield { path: [...path, 'recordingAs'], message, at: 'key' }
}
