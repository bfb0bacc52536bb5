import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { rawHttpServer } from '../local-server.ts'
import { Arrivals, numberOf } from './numbered-calls.ts'

/** An HTTP target of numbered calls. While it is down, it answers half of them with 500 and the others never. */
export async function numberedTarget(t: Pick<Test, 'teardown'>) {
  const arrivals = new Arrivals()
  const state = { up: true, failed: 0, stalled: 0 }
  const { origin } = await rawHttpServer(t, (request, response) => {
    request.resume()
    request.on('end', () => {
      const n = numberOf(request.headers['x-relay-call-id'] as string)
      if (state.up) {
        arrivals.note(n)
        response.end()
      } else if ((state.failed + state.stalled) % 2 === 0) {
        state.failed++
        response.writeHead(500).end()
      } else state.stalled++
    })
  })
  return { url: origin, arrivals, state }
}

/** A program that writes the id of each call that it is run for into a file, and what the file has of them. */
export function numberedHook(directory: string) {
  const [command, file] = [join(directory, 'hook.sh'), join(directory, 'hooked.txt')]
  writeFileSync(command, `#!/bin/sh\necho "$RELAY_CALL_ID" >> '${file}'\n`, { mode: 0o755 })
  writeFileSync(file, '')
  return {
    command: [command],
    read() {
      const arrivals = new Arrivals()
      for (const id of readFileSync(file, 'utf8').split('\n').filter(Boolean)) arrivals.note(numberOf(id))
      return arrivals
    },
  }
}
