import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { concealer } from '../../src/domain/concealer.ts'
import type { RelayError } from '../../src/domain/errors.ts'
import type { NewEvent } from '../../src/domain/event.ts'
import { bodyHash } from '../../src/domain/event.ts'
import { Secret } from '../../src/domain/secret.ts'
import { type AdmissionLimits, admit } from '../../src/ingest/admission.ts'
import { Listener, type ListenerOptions } from '../../src/ingest/listener.ts'
import { createReceiver, type Receipt, type ReceiverOptions } from '../../src/ingest/receiver.ts'
import type { Unreadable } from '../../src/ingest/unreadable.ts'
import type { Recorded, Rejection } from '../../src/outbox/outbox.ts'
import { noVerification } from '../../src/sources/none.ts'
import { createUltravoxScheme } from '../../src/sources/ultravox.ts'
import { takingUp } from '../../src/traced.ts'
import { SIGNATURE, sign, TIMESTAMP } from '../sources/signed-request.ts'
import { connect, type RawConnection, type RawRequest, send } from './raw-http.ts'

export const SECRET = 'whsec_of_the_trial'
export const OPEN_PATH = '/webhooks/open'
/** Of a second source, with the same secret. */
export const OTHER_PATH = '/webhooks/other'
/** The id of the relay that listens. */
export const RELAY_ID = '00112233445566ff'
export const SAMPLE = '{"event":"call.ended","call":{"callId":"c-1"}}'

/** In memory, and only what the listener and the receiver see of an outbox. The real one is tested in test/outbox. */
export class OutboxStandIn {
  readonly recorded: { readonly event: NewEvent; readonly targets: readonly string[] }[] = []
  readonly duplicates: NewEvent[] = []
  readonly rejections: Rejection[] = []
  /** While set, both methods fail with it. */
  failure: Error | null = null
  /** While set, both methods wait for it. */
  held: Promise<void> | null = null
  /** Calls begun, finished or not. */
  calls = 0
  readonly #ids = new Map<string, string>()
  #called = () => {}

  async record(event: NewEvent, targets: readonly string[]): Promise<Recorded> {
    await this.#begin()
    const identity = JSON.stringify([event.account, event.event, event.callId ?? bodyHash(event.body)])
    const first = this.#ids.get(identity)
    if (first !== undefined) {
      this.duplicates.push(event)
      return { eventId: first, duplicate: true, targets: [], leased: [] }
    }
    this.#ids.set(identity, event.eventId)
    this.recorded.push({ event, targets })
    return { eventId: event.eventId, duplicate: false, targets, leased: [] }
  }

  async reject(rejection: Rejection): Promise<void> {
    await this.#begin()
    this.rejections.push(rejection)
  }

  /** Resolves when the next call begins. */
  nextCall(): Promise<void> {
    return new Promise((resolve) => {
      this.#called = resolve
    })
  }

  async #begin(): Promise<void> {
    this.calls += 1
    this.#called()
    if (this.held !== null) await this.held
    if (this.failure !== null) throw this.failure
  }
}

interface TrialOptions
  extends Partial<
    Pick<
      ListenerOptions,
      'trustProxy' | 'bodyLimitBytes' | 'rateLimit' | 'receive' | 'keepAliveTimeoutMs' | 'maxHeaderSizeBytes'
    >
  > {
  readonly route?: ReceiverOptions['route']
  readonly admission?: AdmissionLimits
}

/** A listener with everything behind it but a database, listening on a free port. */
export class TrialListener {
  readonly outbox = new OutboxStandIn()
  /** Moved by tests. */
  readonly clock = { at: Date.UTC(2026, 0, 15, 12), now: () => this.clock.at }
  readonly failures: unknown[] = []
  readonly unreadable: Unreadable[] = []
  readonly answered: {
    readonly status: number
    readonly path: string
    readonly receipt: Receipt | null
    readonly peer: string
  }[] = []
  readonly listener = new Listener(null)
  port!: number
  #ids = 0
  #requests = 0

  static async start(t: Test, options: TrialOptions = {}): Promise<TrialListener> {
    const trial = new TrialListener()
    await trial.#listen(options)
    t.teardown(() => trial.listener.close())
    return trial
  }

  async #listen(options: TrialOptions): Promise<void> {
    await this.configure(options)
    await this.listener.listen({ host: '127.0.0.1', port: 0 })
    this.port = (this.listener.server.address() as AddressInfo).port
  }

  /** Has the listener answer by these options, as a reload does. */
  async configure({ route, admission, ...options }: TrialOptions): Promise<void> {
    const { outbox, clock } = this
    const record = outbox.record.bind(outbox)
    const secret = new Secret(SECRET)
    const conceal = concealer([secret])
    const use = await this.listener.prepare(null, {
      sources: [
        {
          name: 'ultravox',
          account: 'default',
          path: '/webhooks/ultravox',
          scheme: createUltravoxScheme([secret], 60_000),
          conceal,
        },
        { name: 'open', account: 'source:open', path: OPEN_PATH, scheme: noVerification, conceal },
        {
          name: 'other',
          account: 'source:other',
          path: OTHER_PATH,
          scheme: createUltravoxScheme([secret], 60_000),
          conceal,
        },
      ],
      receive: createReceiver({
        secretsUsed() {},
        record: admission === undefined ? record : admit(record, admission),
        reject: outbox.reject.bind(outbox),
        clock,
        relayId: RELAY_ID,
        newEventId: () => `evt_${++this.#ids}`,
        traceOf: takingUp({ sampleRatio: 0 }),
        route: route ?? (async () => ['crm', 'archive']),
      }),
      outbox,
      clock,
      newRequestId: () => `req_${++this.#requests}`,
      trustProxy: [],
      bodyLimitBytes: 1_000_000,
      keepAliveTimeoutMs: 10_000,
      maxHeaderSizeBytes: 16 * 1024,
      rateLimit: { maxRefused: 1_000, perMs: 60_000 },
      log: {
        answered: ({ url, relayReceipt, relayPeer }, { statusCode }) =>
          this.answered.push({ status: statusCode, path: url, receipt: relayReceipt, peer: relayPeer.address }),
        failed: (error) => this.failures.push(error),
        unreadable: (request) => this.unreadable.push(request),
        handshakeFailed() {},
      },
      ...options,
    })
    use()
  }

  /** The headers of a genuine request, sent so many milliseconds ago. */
  signed(body: Uint8Array | string, ageMs = 0): Record<string, string> {
    const timestamp = new Date(this.clock.at - ageMs).toISOString()
    return { [TIMESTAMP]: timestamp, [SIGNATURE]: sign(SECRET, Buffer.from(body), timestamp) }
  }

  /** Sends a genuine request. */
  genuine(body: Uint8Array | string = SAMPLE, { headers = {}, ...request }: RawRequest = {}) {
    return this.send({ ...request, body, headers: { ...this.signed(body), ...headers } })
  }

  /** Sends a request that nobody signed. */
  unsigned(request: RawRequest = {}) {
    return this.send({ body: SAMPLE, ...request })
  }

  send(request: RawRequest) {
    return send(this.port, request)
  }

  connect(from?: string): Promise<RawConnection> {
    return connect(this.port, from)
  }

  /** Several answers on other connections: time enough for anything that does not wait to have been answered. */
  async otherTraffic(): Promise<void> {
    for (let i = 0; i < 5; i += 1) await this.send({ method: 'GET', path: '/healthz' })
  }

  failWith(error: RelayError | Error | null): void {
    this.outbox.failure = error
  }

  /** Makes the outbox wait until the returned function is called. */
  hold(): () => void {
    let release = () => {}
    this.outbox.held = new Promise((resolve) => {
      release = () => {
        this.outbox.held = null
        resolve()
      }
    })
    return () => release()
  }
}
