import { collectDefaultMetrics, Registry } from 'prom-client'
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
