import { Random } from './random.ts'

/** What can go wrong with one answer. The simulator itself has processed the request by then, except for faults that come before it. */
export type Fault =
  /** Answered before the simulator sees the request. `retryAfter`: seconds, a date that many seconds ahead, or no such header. */
  | {
      readonly kind: 'status'
      readonly status: number
      readonly retryAfter?: { readonly seconds: number; readonly as: 'seconds' | 'date' }
      readonly body?: string
    }
  /** 204 without a body, before the simulator sees the request. */
  | { readonly kind: 'empty' }
  /** The connection is closed before any answer, before the simulator sees the request. */
  | { readonly kind: 'hang_up' }
  /** No answer for this long; then the true one. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** The true length is announced, and only part of it sent. Default: half. */
  | { readonly kind: 'cut'; readonly bytes?: number }
  /** The true answer, with its last part missing and a matching length: not JSON. */
  | { readonly kind: 'malformed' }
  | { readonly kind: 'content_type'; readonly type: string }
  /** The true answer, in this many pieces, with a delay between them. */
  | { readonly kind: 'drip'; readonly pieces: number; readonly everyMs: number }
  /** Absolute links in the answer lead to this origin (`http://127.0.0.1:1`). */
  | { readonly kind: 'foreign_link'; readonly origin: string }
  /** One row of the answer loses a field: `rows` names the array in the body, `field` may be a dotted path. */
  | { readonly kind: 'missing_field'; readonly rows: string; readonly field: string; readonly row?: number }
  /** Anything else: the parsed body, changed. */
  | { readonly kind: 'edit'; readonly edit: (body: never) => unknown }

/** Where and how often. */
export interface Aim {
  /** Only requests whose path begins with this, or matches it. */
  readonly path?: string | RegExp
  readonly method?: string
  /** Matching requests to let pass before the first one that is hit. */
  readonly skip?: number
}

/** Makes a simulator fail, for tests and the command line. The first fault that matches a request is applied. */
export class Faults {
  #orders: { fault: Fault; aim: Aim; left: number; skip: number; probability: number; random: Random }[] = []
  #struck = 0

  /** The next `times` matching requests (default one) fail like this. */
  next(fault: Fault, aim: Aim & { readonly times?: number } = {}): this {
    this.#orders.push({ fault, aim, left: aim.times ?? 1, skip: aim.skip ?? 0, probability: 1, random: new Random(0, 0, 0) })
    return this
  }

  /** Every matching request fails like this with this probability, drawn from a seed of its own, until `clear`. */
  sometimes(fault: Fault, how: Aim & { readonly probability: number; readonly seed?: number }): this {
    const random = new Random(how.seed ?? 1, this.#orders.length, 9)
    this.#orders.push({ fault, aim: how, left: Infinity, skip: how.skip ?? 0, probability: how.probability, random })
    return this
  }

  clear() {
    this.#orders = []
  }

  /** How many requests have failed. */
  get struck(): number {
    return this.#struck
  }

  /** How many failures of `next` are still to come. */
  get pending(): number {
    return this.#orders.reduce((sum, { left }) => sum + (left === Infinity ? 0 : left), 0)
  }

  /** For the server: the fault for this request, used up. */
  take(method: string, path: string): Fault | null {
    for (const order of this.#orders) {
      const { aim } = order
      if (aim.method !== undefined && aim.method !== method) continue
      if (typeof aim.path === 'string' ? !path.startsWith(aim.path) : aim.path?.test(path) === false) continue
      if (order.skip > 0) {
        order.skip--
        continue
      }
      if (!order.random.chance(order.probability)) continue
      order.left--
      if (order.left <= 0) this.#orders = this.#orders.filter(other => other !== order)
      this.#struck++
      return order.fault
    }
    return null
  }
}
