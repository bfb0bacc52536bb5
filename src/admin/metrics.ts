import { Counter, collectDefaultMetrics, Registry } from 'prom-client'
import { Counts } from './counts.ts'
import { createGauges, type Readings } from './gauges.ts'

/** Gauges that prom-client names as if they were counters. */
const MISNAMED = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total']

/** All that Prometheus is told: counted from the start of the relay on, whether anybody asks or not. */
export class Metrics {
  readonly #registry = new Registry()
  readonly #showReadings = createGauges(this.#registry)
  readonly counts = new Counts(this.#registry)
  readonly contentType = this.#registry.contentType
  #watchesProcess = false

  /** `droppedLogLines`: lines that could not be written since the start. */
  constructor(droppedLogLines: () => number = () => 0) {
    new Counter({
      name: 'ultravox_relay_log_lines_dropped_total',
      help: 'Log lines that could not be written to stdout.',
      registers: [this.#registry],
      collect() {
        this.reset()
        this.inc(droppedLogLines())
      },
    })
  }

  /** In the text format. */
  expose(readings: Readings): Promise<string> {
    this.#showReadings(readings)
    return this.#registry.metrics()
  }

  /** From now on also memory, CPU, garbage collection and the delay of the event loop. They cost a timer, so not before. */
  watchProcess(): void {
    if (this.#watchesProcess) return
    this.#watchesProcess = true
    collectDefaultMetrics({ register: this.#registry })
    for (const name of MISNAMED) this.#registry.removeSingleMetric(name)
  }
}
