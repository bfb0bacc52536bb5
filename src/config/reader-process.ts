import { basename, dirname } from 'node:path'
import { errorMessage } from '../domain/errors.ts'
import { announceAccess } from '../safe-file.ts'
import { VERSION } from '../version.ts'
import { ConfigError } from './problem.ts'
import {
  type Answers,
  type FromReader,
  type Kind,
  pack,
  type Requests,
  type ToReader,
  unpack,
} from './reader-protocol.ts'
import { watchedEnvironment } from './watched-environment.ts'

/** The files that the file system was asked for since this was cleared. */
const accessed = new Set<string>()

type Work = { readonly [K in Kind]: (request: Requests[K]) => Promise<Answers[K]> }

/** Each loads what it needs: a process that looks after a certificate has no use for the schema. */
const WORK: Work = {
  async load({ file, env }) {
    const { loadConfig } = await import('./load.ts')
    const watched = watchedEnvironment(env)
    accessed.clear()
    const { config, warnings } = loadConfig(file, watched.env, 'start', process.ppid)
    const directory = env.CREDENTIALS_DIRECTORY
    const credentials = [...accessed].filter((path) => dirname(path) === directory).map((path) => basename(path))
    return { config, warnings, read: [...watched.read], credentials }
  },
  async certificate(request) {
    const { readCertificate } = await import('./certificate-files.ts')
    return readCertificate(request)
  },
  async rotations(config) {
    const { unfinishedRotations } = await import('./rotation-state.ts')
    return unfinishedRotations(config)
  },
}

async function answerTo<K extends Kind>(version: string, kind: K, request: Requests[K]): Promise<FromReader> {
  // Its configuration may be of another form.
  if (version !== VERSION) {
    return { failed: `the relay runs version ${version}, and ${VERSION} is installed by now: restart the relay` }
  }
  try {
    return { answer: pack(await WORK[kind](request)) }
  } catch (error) {
    if (error instanceof ConfigError) return { problems: error.problems }
    return { failed: errorMessage(error) }
  }
}

/**
 * The process that reads the files of the configuration for the relay, so that a file system that does not answer holds up nothing
 * but this process. It announces each path that it asks the file system for, and ends when the relay has.
 */
function main(): void {
  const send = (message: FromReader) => void (process.connected && process.send!(message))
  // It is for the relay to say what ends: a terminal and a service manager signal every process there is.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => {})
  announceAccess((at, file) => {
    for (const path of [at, file]) if (path !== null) accessed.add(path)
    send({ at, file })
  })
  process.on('message', async ({ version, kind, request }: ToReader) => {
    send(await answerTo(version, kind, unpack(request) as never))
  })
  process.on('disconnect', () => process.exit())
}

main()
