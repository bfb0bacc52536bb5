import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { abort, begun, type Rotated, type Rotation, rotate } from '../../src/cli/rotation.ts'
import { readRotation } from '../../src/config/rotation-state.ts'
import { readSecretsFile } from '../../src/config/secrets-file.ts'
import { Secret } from '../../src/domain/secret.ts'
import { secretFingerprint } from '../../src/domain/secret-fingerprint.ts'
import { ultravoxHeaders, ultravoxKey } from '../../src/domain/ultravox-signature.ts'
import { createUltravoxScheme } from '../../src/sources/ultravox.ts'
import type { Webhook } from '../../src/ultravox/client.ts'

const OLD = 'whsec_old_secret_of_the_webhook'
const BODY = Buffer.from('{"event":"call.ended","call":{"callId":"c"}}')
const MINUTE = 60_000
const TOLERANCE_MS = MINUTE
const OVERLAP_MS = 10_000
/** As the provider is documented to: after half a minute, doubling, ten times. */
const RETRIES = Array.from({ length: 10 }, (_, index) => 30_000 * 2 ** index)

/** With which of a webhook's secrets it is signed, and what a retry carries. Neither is documented. */
export interface Manners {
  readonly signing: 'all' | 'first' | 'last'
  readonly retry: 'signed anew' | 'old secrets, new time' | 'as it was'
}

/** What a crash of the command is: whatever it had under way is done or not, and it says no more. */
export class Crash extends Error {}

interface Worker {
  secrets: readonly Secret[]
  /** Changes that it has yet to learn of. */
  next: { at: number; secrets: readonly Secret[] }[]
}

interface Message {
  readonly secrets: readonly Secret[]
  readonly signedAt: number
  readonly attempt: number
  /** Shared by all attempts. `kept`: rejected as too old, with its body, so that an operator can accept it. */
  readonly event: { kept: boolean }
}

/**
 * A provider with workers that learn of a change one by one, webhooks that take their time, and the relay's side of a
 * rotation, on a clock that runs only while the rotation waits. The rotation, its files and the verification are real.
 */
export class RotationWorld {
  readonly manners: Manners
  readonly secretsFile: string
  /** Genuine webhooks whose signature the relay could not verify, and those that it had to reject as stale. */
  readonly refused: string[] = []
  stale = 0
  accepted = 0
  requests = 0
  /** The request at which the command crashes, before or after its effect. */
  crashAt: { request: number; effect: boolean } | null = null
  readonly #random: () => number
  readonly #workers: Worker[]
  readonly #failures: { at: number; failure: string }[] = []
  readonly #uses = new Map<string, { fingerprint: string; firstUsedAt: number; lastUsedAt: number }>()
  #events: { at: number; run: () => void }[] = []
  #secrets: readonly Secret[] = [new Secret(OLD)]
  #known: readonly Secret[] = [new Secret(OLD)]
  #now = Date.UTC(2026, 0, 15, 12)
  #downUntil = 0
  #changedAt = this.#now

  constructor(directory: string, random: () => number) {
    this.#random = random
    this.secretsFile = join(directory, 'ultravox.secrets')
    writeFileSync(this.secretsFile, `${OLD}\n`, { mode: 0o600 })
    this.manners = {
      signing: pick(random, ['all', 'all', 'first', 'last']),
      retry: pick(random, ['signed anew', 'old secrets, new time', 'as it was']),
    }
    this.#workers = Array.from({ length: 1 + Math.floor(random() * 6) }, () => ({ secrets: this.#secrets, next: [] }))
    this.#traffic(pick(random, [500, 3_000, 20_000]))
    // In some, the relay is away for a while before the rotation.
    if (random() < 0.3) this.#downUntil = this.#now + random() * MINUTE
  }

  /** Lets some time pass before the rotation begins. */
  async live(ms: number): Promise<void> {
    await this.#pass(ms)
  }

  /** The rotation from its beginning or from where it was; true where it is done, false where it crashed. */
  async rotate(): Promise<Rotated | null> {
    return this.#command(async (rotation) => {
      const [webhook] = await rotation.client.listWebhooks()
      const ours = [secretFingerprint(new Secret(OLD))]
      return rotate(rotation, readRotation(this.secretsFile) ?? begun(webhook!, ours, rotation.clock))
    })
  }

  async abort(): Promise<true | null> {
    return this.#command<true>(async (rotation) => {
      const state = readRotation(this.secretsFile)
      if (state !== null) await abort(rotation, state)
      return true
    })
  }

  /** All that is under way arrives. */
  async settle(): Promise<void> {
    await this.#pass(10 * MINUTE)
  }

  get registered(): string[] {
    return this.#secrets.map((secret) => secret.reveal())
  }

  get inFile(): string[] {
    return readSecretsFile(this.secretsFile)!.secrets.map((secret) => secret.reveal())
  }

  /** Whether each worker signs with at least one secret that the relay knows, and that it will on its next start. */
  isSafe(): boolean {
    const isKnown = (secrets: readonly Secret[], known: readonly string[]) => {
      const used = this.#signers(secrets).map((secret) => secret.reveal())
      return used.some((secret) => known.includes(secret))
    }
    const known = this.#known.map((secret) => secret.reveal())
    return this.#workers.every((worker) => {
      const secrets = this.#secretsOf(worker)
      return isKnown(secrets, known) && isKnown(secrets, this.inFile)
    })
  }

  async #command<T>(work: (rotation: Rotation) => Promise<T>): Promise<T | null> {
    try {
      return await work(this.#rotation())
    } catch (error) {
      if (error instanceof Crash) return null
      throw error
    }
  }

  #rotation(): Rotation {
    return {
      client: {
        listWebhooks: () => this.#request(() => {}),
        updateWebhook: async (_, { secrets }) => {
          const [webhook] = await this.#request(() => this.#change(secrets!))
          return webhook!
        },
      },
      relay: {
        bring: async (isRight) => {
          await this.#pass(this.#random() * 2_000)
          this.#known = readSecretsFile(this.secretsFile)!.secrets
          if (!isRight(this.#known.map(secretFingerprint))) throw new Error('the relay has other secrets')
          return true
        },
        uses: async () => [...this.#uses.values()],
        configured: () => readSecretsFile(this.secretsFile)!.secrets.map(secretFingerprint),
      },
      secretsFile: this.secretsFile,
      outboxPath: this.secretsFile,
      toleranceMs: TOLERANCE_MS,
      overlapMs: OVERLAP_MS,
      // Where it signs with the first only, no event with the new secret ever comes before the old is gone.
      afterMs: this.manners.signing === 'first' ? (this.#downUntil === 0 ? 20 * MINUTE : 10 * 60 * MINUTE) : null,
      despiteFailures: this.manners.retry === 'as it was',
      clock: { now: () => Math.floor(this.#now) },
      pause: (ms) => this.#pass(ms),
      tell: () => {},
      progress: () => {},
    }
  }

  async #request(effect: () => void): Promise<readonly Webhook[]> {
    this.requests += 1
    const crash = this.crashAt?.request === this.requests ? this.crashAt : null
    if (crash !== null && !crash.effect) throw new Crash()
    await this.#pass(this.#random() * 300)
    effect()
    if (crash !== null) throw new Crash()
    await this.#pass(this.#random() * 300)
    const webhook: Webhook = {
      webhookId: 'w',
      agentId: null,
      created: 0,
      url: 'https://relay.test/',
      secrets: [...this.#secrets],
      events: [],
      status: 'normal',
      lastStatusChange: null,
      recentFailures: this.#failures.slice(-20),
    }
    return [webhook]
  }

  /** Each worker goes on with the secrets that it has for up to four seconds. */
  #change(secrets: readonly Secret[]): void {
    this.#secrets = secrets
    this.#changedAt = this.#now
    for (const worker of this.#workers) worker.next.push({ at: this.#now + this.#random() * 4_000, secrets })
  }

  #secretsOf(worker: Worker): readonly Secret[] {
    while (worker.next.length > 0 && worker.next[0]!.at <= this.#now) worker.secrets = worker.next.shift()!.secrets
    return worker.secrets
  }

  #signers(secrets: readonly Secret[]): readonly Secret[] {
    if (this.manners.signing === 'all') return secrets
    return this.manners.signing === 'first' ? secrets.slice(0, 1) : secrets.slice(-1)
  }

  #traffic(meanMs: number): void {
    const next = () => {
      this.#send({ secrets: this.#workerSecrets(), signedAt: this.#now, attempt: 0, event: { kept: false } })
      // Over hours of waiting, fewer are enough.
      const mean = this.#now > this.#changedAt + 40 * MINUTE ? Math.max(meanMs, 5_000) : meanMs
      this.#at(this.#now - Math.log(1 - this.#random()) * mean, next)
    }
    this.#at(this.#now, next)
  }

  #workerSecrets(): readonly Secret[] {
    return this.#signers(this.#secretsOf(pick(this.#random, this.#workers)))
  }

  /** Most arrive within moments, some just before they are too old. */
  #send(message: Message): void {
    const travel = this.#random() < 0.9 ? this.#random() * 1_000 : this.#random() * (TOLERANCE_MS - 1_000)
    this.#at(this.#now + travel, () => this.#arrive(message))
  }

  #arrive(message: Message): void {
    if (this.#now < this.#downUntil) {
      this.#fail(message, 'connection refused')
      return
    }
    const { secrets, signedAt } = message
    const lines = ultravoxHeaders(secrets.map(ultravoxKey), BODY, Math.floor(signedAt))
    const headers = new Map(
      lines.flatMap((name, index) => (index % 2 === 0 ? [[name.toLowerCase(), lines[index + 1]!] as const] : [])),
    )
    const judge = createUltravoxScheme(this.#known, TOLERANCE_MS).open({
      header: (name) => headers.get(name.toLowerCase()),
      headerCount: () => 1,
    })
    const verdict = typeof judge === 'function' ? judge(BODY, Math.floor(this.#now)) : judge
    if (verdict.genuine) {
      this.accepted += 1
      const fingerprint = [...verdict.signedWith].sort().join(' ')
      const known = this.#uses.get(fingerprint)
      const now = Math.floor(this.#now)
      this.#uses.set(fingerprint, { fingerprint, firstUsedAt: known?.firstUsedAt ?? now, lastUsedAt: now })
      return
    }
    if (verdict.code === 'timestamp_stale') {
      this.stale += 1
      message.event.kept = true
    } else if (!message.event.kept) {
      const signers = secrets.map(secretFingerprint).join(' ')
      const age = Math.round((this.#now - signedAt) / 1_000)
      this.refused.push(`${verdict.code}, signed with ${signers} ${age} s before, attempt ${message.attempt}`)
    }
    this.#fail(message, 'HTTP 401')
  }

  #fail({ secrets, signedAt, attempt, event }: Message, failure: string): void {
    this.#failures.push({ at: Math.floor(this.#now), failure })
    const delay = RETRIES[attempt]
    if (delay === undefined) return
    this.#at(this.#now + delay, () =>
      this.#send({
        secrets: this.manners.retry === 'signed anew' ? this.#workerSecrets() : secrets,
        signedAt: this.manners.retry === 'as it was' ? signedAt : this.#now,
        attempt: attempt + 1,
        event,
      }),
    )
  }

  #at(at: number, run: () => void): void {
    let index = this.#events.length
    while (index > 0 && this.#events[index - 1]!.at > at) index -= 1
    this.#events.splice(index, 0, { at, run })
  }

  async #pass(ms: number): Promise<void> {
    const end = this.#now + ms
    while (this.#events.length > 0 && this.#events[0]!.at <= end) {
      const { at, run } = this.#events.shift()!
      this.#now = Math.max(this.#now, at)
      run()
    }
    this.#now = end
  }
}

export function pick<T>(random: () => number, values: readonly T[]): T {
  return values[Math.floor(random() * values.length)]!
}

/** Numbers that are the same for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = Math.imul(seed, 0x9e3779b1) >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let value = Math.imul(state ^ (state >>> 15), state | 1)
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61)
    return ((value ^ (value >>> 14)) >>> 0) / 4_294_967_296
  }
}
