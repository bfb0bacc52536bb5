import { type ChildProcess, fork } from 'node:child_process'
import { getDefaultResultOrder, type LookupAddress, lookup as lookupHere } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { FromLookupProcess, ToLookupProcess } from './lookup-process.ts'

/** Names that are resolved at a time. */
export const NAMES_AT_ONCE = 16
/** A slow name is asked for twice, and libuv gives half of its threads to look-ups. */
const THREADS = 4 * NAMES_AT_ONCE
/** How often a name is asked for before the process is taken for what fails. */
const MOST_TRIES = 2
/** Without an answer for this long the process may be stopped: it is told to go on, which does nothing to one that waits. */
const CONTINUE_AFTER_MS = 5_000
/** No answer for this long after that means that it is stuck. The system gives up on silent name servers before. */
const LOST_AFTER_MS = 85_000

/** How long the process is not started again after it never answered: a limit on threads may keep it from starting. */
const UNUSABLE_MS = 60_000

/** What the C library's resolver reads from the environment. The rest may hold secrets and stays with the relay. */
const RESOLVER_VARIABLES = /^(RES_OPTIONS|LOCALDOMAIN|HOSTALIASES|GAI_CONF|LD_.*|NSS_.*)$/

interface Pending {
  readonly hostname: string
  readonly callback: Parameters<LookupFunction>[2]
  tries: number
}

/**
 * The system's resolver (`getaddrinfo`: hosts file, search domains, name service switch), in a process with threads of its own.
 * In this process all file operations and look-ups share four threads, a silent name server holds one for ten seconds and
 * more, and a normal exit waits for it. The process is started with the first name and keeps nothing alive.
 */
class SystemLookup {
  readonly #pending = new Map<number, Pending>()
  #process: ChildProcess | undefined
  /** Whether the last process has answered. */
  #hasAnswered = false
  #unusableUntil = 0
  #lastId = 0
  #watch: NodeJS.Timeout | undefined

  constructor() {
    // It ends by itself when the channel is closed, but not while it is stopped.
    process.once('exit', () => this.#process?.kill('SIGKILL'))
  }

  /** As Node's `lookup` with `all: true`, whatever the options are. */
  readonly lookup: LookupFunction = (hostname, _options, callback) => {
    const id = ++this.#lastId
    this.#pending.set(id, { hostname, callback, tries: 0 })
    if (this.#pending.size === 1) this.#expectAnswer()
    this.#send(id)
  }

  /** The id of the process, while it runs. */
  get pid(): number | undefined {
    return this.#process?.pid
  }

  #send(id: number): void {
    const pending = this.#pending.get(id)!
    if (pending.tries++ >= MOST_TRIES) {
      if (!this.#hasAnswered) this.#unusableUntil = performance.now() + UNUSABLE_MS
      return void this.#lookUpHere(id)
    }
    if (performance.now() < this.#unusableUntil) return void this.#lookUpHere(id)
    this.#process ??= this.#start()
    if (this.#process === undefined) return void this.#lookUpHere(id)
    // Of a process that has just been killed, the channel is closed before the exit is known, which asks again.
    if (!this.#process.connected) return
    this.#process.send({ id, hostname: pending.hostname } satisfies ToLookupProcess, () => {})
  }

  /** Where the process cannot be started, this one has to do. Where it can, a name must not block the threads here. */
  #lookUpHere(id: number): void {
    const { hostname } = this.#pending.get(id)!
    if (this.#hasAnswered) return void this.#settle({ id, code: 'EAI_FAIL' })
    lookupHere(hostname, { all: true }, (error, addresses) => {
      this.#settle(error === null ? { id, addresses } : { id, code: error.code ?? 'EAI_FAIL' })
    })
  }

  /** Undefined where the system does not allow it. */
  #start(): ChildProcess | undefined {
    this.#hasAnswered = false
    const started = forked()
    if (started === undefined) {
      this.#unusableUntil = performance.now() + UNUSABLE_MS
      return undefined
    }
    started.unref()
    started.channel?.unref()
    started.on('message', (answer: FromLookupProcess) => {
      this.#hasAnswered = true
      this.#settle(answer)
    })
    started.on('error', () => {
      if (started.pid === undefined) this.#lose(started)
    })
    started.on('disconnect', () => this.#lose(started))
    started.on('exit', () => this.#lose(started))
    return started
  }

  #lose(ended: ChildProcess): void {
    // Its end is announced by more than one event.
    if (this.#process !== ended) return
    this.#process = undefined
    ended.kill('SIGKILL')
    for (const id of [...this.#pending.keys()]) this.#send(id)
    this.#expectAnswer()
  }

  #settle(answer: FromLookupProcess): void {
    const pending = this.#pending.get(answer.id)
    if (pending === undefined) return
    this.#pending.delete(answer.id)
    this.#expectAnswer()
    if ('addresses' in answer) return void pending.callback(null, answer.addresses as LookupAddress[])
    const { code } = answer
    const error = new Error(`getaddrinfo ${code} ${pending.hostname}`)
    pending.callback(Object.assign(error, { code, syscall: 'getaddrinfo', hostname: pending.hostname }), '', 0)
  }

  #expectAnswer(): void {
    clearTimeout(this.#watch)
    if (this.#pending.size === 0) return
    this.#watch = setTimeout(() => {
      this.#process?.kill('SIGCONT')
      this.#watch = setTimeout(() => this.#process && this.#lose(this.#process), LOST_AFTER_MS).unref()
    }, CONTINUE_AFTER_MS).unref()
  }
}

/** Undefined where the failure is thrown, as ENOMEM and EPERM are. Node emits others, such as EAGAIN, as an event. */
function forked(): ChildProcess | undefined {
  const variables = Object.entries(process.env).filter(([name]) => RESOLVER_VARIABLES.test(name))
  try {
    return fork(fileURLToPath(new URL('./lookup-process.js', import.meta.url)), {
      env: { ...Object.fromEntries(variables), UV_THREADPOOL_SIZE: String(THREADS) },
      execArgv: ['--max-semi-space-size=1', `--dns-result-order=${getDefaultResultOrder()}`],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    })
  } catch {
    return undefined
  }
}

/** The resolver of this process. */
export const systemLookup = new SystemLookup()
