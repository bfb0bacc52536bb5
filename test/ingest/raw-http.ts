import { once } from 'node:events'
import { connect as connectSocket, type Socket } from 'node:net'

export interface Answer {
  readonly status: number
  /** By lower-case name. */
  readonly headers: Record<string, string>
  readonly body: string
}

export interface RawRequest {
  readonly method?: string
  readonly path?: string
  readonly headers?: Record<string, string | string[]>
  /** Content-Length is set from it unless `headers` says something of the framing. */
  readonly body?: Uint8Array | string
  /** Local address to send from. */
  readonly from?: string
}

/** A connection on which every byte sent is the test's own: clients are too well-behaved for some of what comes in. */
export class RawConnection {
  readonly socket: Socket
  /** Resolves when the other side has ended or broken the connection. */
  readonly closed: Promise<void>
  #received: Buffer = Buffer.alloc(0)
  #notify = () => {}
  #isClosed = false

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#notify()
    })
    this.closed = new Promise((resolve) => {
      const ended = () => {
        this.#isClosed = true
        this.#notify()
        resolve()
      }
      socket.on('end', ended)
      socket.on('close', ended)
    })
  }

  write(bytes: Uint8Array | string): void {
    this.socket.write(bytes)
  }

  /** Reads one answer; without a body where `bodyless`, as after HEAD. */
  async answer(bodyless = false): Promise<Answer> {
    for (;;) {
      const head = this.#received.indexOf('\r\n\r\n')
      if (head !== -1) {
        const answer = readHead(this.#received.subarray(0, head).toString('latin1'))
        const length = bodyless ? 0 : Number(answer.headers['content-length'] ?? 0)
        if (this.#received.length >= head + 4 + length) {
          const body = this.#received.subarray(head + 4, head + 4 + length).toString()
          this.#received = this.#received.subarray(head + 4 + length)
          // 100 Continue is not the answer yet.
          if (answer.status !== 100) return { ...answer, body }
          continue
        }
      }
      if (this.#isClosed) throw new Error(`closed without an answer, after: ${this.#received.toString('latin1')}`)
      await new Promise<void>((resolve) => {
        this.#notify = resolve
      })
    }
  }

  /** What has come in that no answer has used up. */
  get unread(): string {
    return this.#received.toString('latin1')
  }

  end(): void {
    this.socket.destroy()
  }
}

export async function connect(port: number, from = '127.0.0.1'): Promise<RawConnection> {
  const socket = connectSocket({ port, host: '127.0.0.1', localAddress: from })
  await once(socket, 'connect')
  return new RawConnection(socket)
}

/** The bytes of a request up to its body. */
export function headOf({ method = 'POST', path = '/webhooks/ultravox', headers = {}, body }: RawRequest): string {
  const framed = Object.keys(headers).some((name) => /^(content-length|transfer-encoding)$/i.test(name))
  const lines = Object.entries(headers).flatMap(([name, values]) => [values].flat().map((value) => `${name}: ${value}`))
  if (!framed && body !== undefined) lines.push(`Content-Length: ${Buffer.byteLength(body)}`)
  return [`${method} ${path} HTTP/1.1`, 'Host: relay.test', ...lines, '', ''].join('\r\n')
}

/** Sends one request on a connection of its own and reads the answer. */
export async function send(port: number, request: RawRequest): Promise<Answer> {
  const connection = await connect(port, request.from)
  connection.write(Buffer.concat([Buffer.from(headOf(request), 'latin1'), Buffer.from(request.body ?? '')]))
  try {
    return await connection.answer(request.method === 'HEAD')
  } finally {
    connection.end()
  }
}

function readHead(text: string): Omit<Answer, 'body'> {
  const [statusLine, ...lines] = text.split('\r\n')
  const headers = lines.map((line) => [line.split(':', 1)[0]!.toLowerCase(), line.slice(line.indexOf(':') + 1).trim()])
  return { status: Number(statusLine!.split(' ')[1]), headers: Object.fromEntries(headers) }
}
