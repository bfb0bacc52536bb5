import type { Outbox } from '../../src/outbox/outbox.ts'

/** An outbox with some of its methods done otherwise. */
export function altered(outbox: Outbox, methods: Partial<Outbox>): Outbox {
  return new Proxy(outbox, {
    get: (of, name) => {
      const method = methods[name as keyof Outbox] ?? of[name as keyof Outbox]
      return typeof method === 'function' ? (method as (...args: unknown[]) => unknown).bind(of) : method
    },
  })
}
