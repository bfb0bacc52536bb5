import { createServer, type Socket } from 'node:net'
import { createInterface } from 'node:readline'

/**
 * A target that is as fast as can be: it finds the ends of requests and answers 204. Its argument is a port. To each line on
 * its input it answers with what it has received: how many requests, and the milliseconds (epoch) at which the last came. A
 * line with a number is answered only when there were so many.
 */
const ANSWER = Buffer.from('HTTP/1.1 204 No Content\r\n\r\n')
const END = Buffer.from('\r\n\r\n')
let received = 0
let firstAt = 0
let lastAt = 0
const waiting: { readonly count: number; readonly answer: () => void }[] = []
/** By the call id in a body, when it came: only where they are asked for. */
const seenAt: [string, number][] | null = process.argv[3] === 'times' ? [] : null

function serve(socket: Socket): void {
  let rest: Buffer = Buffer.alloc(0)
  socket.on('error', () => {})
  socket.on('data', (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    for (;;) {
      const head = rest.indexOf(END)
      if (head < 0) return
      const length = Number(/content-length: (\d+)/i.exec(rest.toString('latin1', 0, head))![1])
      const end = head + END.length + length
      if (rest.length < end) return
      if (seenAt !== null) {
        const callId = /"callId":"([^"]+)"/.exec(rest.toString('latin1', head, head + 200))![1]!
        seenAt.push([callId, now()])
      }
      rest = rest.subarray(end)
      socket.write(ANSWER)
      came()
    }
  })
}

function came(): void {
  received += 1
  lastAt = now()
  if (received === 1) firstAt = lastAt
  while (waiting.length > 0 && received >= waiting[0]!.count) waiting.shift()!.answer()
}

/** Comparable between processes, to a fraction of a millisecond. */
function now(): number {
  return performance.timeOrigin + performance.now()
}

createInterface(process.stdin).on('line', (line) => {
  const answer = () => console.log(JSON.stringify(line === 'times' ? seenAt : { received, firstAt, lastAt }))
  const count = Number(line)
  if (line === 'times' || !(count > received)) answer()
  else waiting.push({ count, answer })
})
createServer({ noDelay: true }, serve).listen(Number(process.argv[2]), '127.0.0.1', () => console.log('ready'))
