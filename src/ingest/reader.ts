/**
 * Pages of the windows that are due, one at a time. A lane's listing stays open while another lane goes first, so that live never waits for the
 * end of a long window. The cursor moves only when `accept` says that the page's records are in the batch.
 */
import type { Clock } from '../clock.ts'
import { asFlowError, FlowError } from '../errors.ts'
import { errorFields, type Log } from '../log.ts'
import type { Lane } from '../records.ts'
import type { Http, Page, Scope, Stream } from '../source/contract.ts'
import type { Advance } from './advance.ts'
import {
  afterPage,
  afterWindow,
  beginPace,
  dueAt,
  halveWindow,
  horizon,
  type KnownCursor,
  next,
  notAheadOf,
  type Pace,
  type Piece,
  type PlanSpec,
  SKEW_MS,
  startWindowAgain,
} from './plan.ts'

/** One page in hand, with where the cursor stands after it. */
export interface Step {
  readonly piece: Piece
  /** Empty where the window ended without one more page. */
  readonly rows: readonly unknown[]
  /** 0 or 1. */
  readonly pages: number
  readonly observedAtMs: number
  readonly endsWindow: boolean
  readonly cursor: KnownCursor
  readonly pace: Pace
}

export interface ReaderParts {
  readonly stream: Stream
  readonly config: object
  readonly scope: Scope
  readonly http: Http
  readonly spec: PlanSpec
  readonly clock: Clock
  readonly log: Log
  readonly advance?: Advance
  /** Ids of the open rows that were last read in a window ending in `(afterMs, untilMs]`. */
  openIds(afterMs: number, untilMs: number): readonly string[]
}

interface Listing {
  readonly piece: Piece
  readonly pages: AsyncIterator<Page>
  readonly resumed: boolean
  count: number
  /** Read already, because only the page after a last one tells that it was the last. */
  ahead: Page | null
}

/** How often one window is started again because its resume expired, before that counts as an error. */
const MOST_RESTARTS = 3

export class Reader {
  readonly #of: ReaderParts
  readonly #listings = new Map<Lane, Listing>()
  readonly #restarts = new Map<Lane, { fromMs: number; count: number }>()
  /** Open rows that are still to be asked for in this round, and when the next round begins. */
  #following: { ids: readonly string[]; nextAtMs: number } = { ids: [], nextAtMs: -Infinity }
  #pace: Pace
  cursor: KnownCursor
  /** Of the read under way, for the quota's order. */
  lane: Lane = 'live'

  constructor(of: ReaderParts, cursor: KnownCursor) {
    this.#of = of
    this.#pace = beginPace(of.spec)
    this.cursor = cursor
  }

  /**
   * The next page that is due, or null when nothing is.
   *
   * @throws FlowError of the vendor, with the cursor as it was: the window goes on from its last kept resume.
   */
  async next(): Promise<Step | null> {
    for (;;) {
      const { clock, spec } = this.#of
      const nowMs = clock.now()
      this.#keepPace(nowMs)
      const planned = next(this.cursor, this.#pace, spec, nowMs)
      this.cursor = planned.cursor
      this.#pace = planned.pace
      const { piece } = planned
      const followed = piece?.lane === 'live' && this.#pace.livePages <= 1 ? null : await this.#follow()
      if (followed !== null) return followed
      if (piece === null) return null
      this.lane = piece.lane
      try {
        const step = await this.#read(piece)
        if (piece.window.untilMs <= clock.now() + SKEW_MS) return step
        this.#setBack(piece)
      } catch (thrown) {
        this.#listings.delete(piece.lane)
        const error = asFlowError(thrown)
        if (error.retry === 'halve') {
          const halved = halveWindow(this.cursor, this.#pace, piece, spec, error)
          this.cursor = halved.cursor
          this.#pace = halved.pace
          this.#of.log.info(
            { lane: piece.lane, ...place(piece), windowMs: halved.pace.lengthMs },
            'window halved: too large for the vendor',
          )
        } else if (error.retry === 'reopen') {
          // Also where it is given up for now: what it was checked against is lost, so the next try must not go on from its place.
          this.cursor = startWindowAgain(this.cursor, piece.lane)
          if (!this.#mayRestart(piece)) throw error
          this.#of.log.info({ lane: piece.lane, ...place(piece) }, 'window started again: its resume expired')
        } else throw error
      }
    }
  }

  /** The window ends in the future, as the vendor's answer shows: what it holds is read when its time has come. */
  #setBack(piece: Piece): void {
    const { clock, spec, log } = this.#of
    this.close()
    this.cursor = notAheadOf(this.cursor, spec, clock.now())
    this.#pace = beginPace(spec)
    log.warn({ ...place(piece), liveUntil: new Date(this.cursor.live.atMs).toISOString() }, 'window ended ahead of now, set back')
  }

  /** The page is in the batch: the cursor stands after it. */
  accept(step: Step): void {
    this.#of.advance?.accepted(step, this.cursor)
    this.cursor = step.cursor
    this.#pace = step.pace
    if (step.endsWindow) this.#listings.delete(step.piece.lane)
  }

  /** Epoch milliseconds. */
  dueAt(): number {
    const { spec, stream, clock } = this.#of
    this.#keepPace(clock.now())
    const plannedMs = dueAt(this.cursor, this.#pace, spec)
    return stream.follow ? Math.min(plannedMs, this.#following.nextAtMs) : plannedMs
  }

  /** Nothing is due later than its interval from now: it would be where the clock was ahead when that was set, and is not any more. */
  #keepPace(nowMs: number): void {
    const { pollIntervalMs, lookbackIntervalMs, lagMs } = this.#of.spec
    const { pollAtMs, lookbackAtMs, edgeMs } = this.#pace
    const pollBy = nowMs + pollIntervalMs
    if (pollAtMs > pollBy) this.#pace = { ...this.#pace, pollAtMs: pollBy, edgeMs: Math.min(edgeMs, nowMs - lagMs) }
    const passBy = nowMs + lookbackIntervalMs
    // While a backfill waits, a pass may be due later than that: as much later as the one before it took.
    if (lookbackAtMs > passBy && this.cursor.backfill === null) this.#pace = { ...this.#pace, lookbackAtMs: passBy }
    if (this.#following.nextAtMs > passBy) this.#following = { ...this.#following, nextAtMs: passBy }
  }

  /** True when there is more to read than the vendor's newest. */
  get isBehind(): boolean {
    return this.cursor.backfill !== null || !this.isLiveRead
  }

  /** True when the live edge has been read as far as it stood when it was looked at last. */
  get isLiveRead(): boolean {
    return this.cursor.live.atMs >= this.#pace.edgeMs
  }

  /** Gives up the listings that are open; does not wait for one that is in the middle of a request. */
  close(): void {
    for (const { pages } of this.#listings.values()) void pages.return?.().catch(() => {})
    this.#listings.clear()
  }

  /** Some of the open rows that have left the lookback; null when none is due. Moves no cursor: a round that was cut short begins anew. */
  async #follow(): Promise<Step | null> {
    const { stream, config, scope, http, spec, clock, log } = this.#of
    const { follow } = stream
    if (!follow) return null
    const untilMs = horizon(this.cursor, spec)
    if (this.#following.ids.length === 0) {
      const nowMs = clock.now()
      if (nowMs < this.#following.nextAtMs) return null
      this.#following = { ids: this.#of.openIds(untilMs - spec.followMs, untilMs), nextAtMs: nowMs + spec.lookbackIntervalMs }
    }
    const ids = this.#following.ids.slice(0, follow.atOnce)
    if (ids.length === 0) return null
    this.lane = 'lookback'
    const piece: Piece = {
      lane: 'lookback',
      window: { fromMs: untilMs, untilMs },
      resume: null,
      forgotten: false,
      followed: true,
    }
    try {
      const rows = await follow.read({ config: config as never, scope, ids, nowMs: clock.now(), http })
      this.#following = { ...this.#following, ids: this.#following.ids.slice(ids.length) }
      return { piece, rows, pages: 1, observedAtMs: clock.now(), endsWindow: false, cursor: this.cursor, pace: this.#pace }
    } catch (thrown) {
      this.#following = { ...this.#following, ids: [] }
      const error = asFlowError(thrown)
      // A vendor that cannot be asked for rows by id keeps nobody from reading windows.
      if (error.code !== 'SRC_REFUSED') throw error
      log.warn({ ...errorFields(error), open: ids.length }, 'the vendor refused to tell open rows by their ids')
      return null
    }
  }

  async #read(piece: Piece): Promise<Step> {
    const listing = this.#listingOf(piece)
    const page = await this.#pull(listing)
    if (page === null) return this.#step(listing.piece, null, true)
    listing.count++
    if (!Array.isArray(page.rows)) {
      throw new FlowError('PLUGIN_INVALID', { hint: 'a page has no list of rows', ...place(piece) })
    }
    if (page.resume === null) listing.ahead = await this.#pull(listing)
    return this.#step(listing.piece, page, page.resume === null && listing.ahead === null)
  }

  async #pull(listing: Listing): Promise<Page | null> {
    const { ahead } = listing
    listing.ahead = null
    if (ahead !== null) return ahead
    const result = await listing.pages.next()
    return result.done === true ? null : result.value
  }

  #step(piece: Piece, page: Page | null, endsWindow: boolean): Step {
    const { clock, spec } = this.#of
    const observedAtMs = clock.now()
    const after = endsWindow
      ? afterWindow(this.cursor, this.#pace, piece, spec, observedAtMs)
      : { cursor: afterPage(this.cursor, piece, page?.resume ?? null, spec), pace: this.#pace }
    return { piece, rows: page?.rows ?? [], pages: page === null ? 0 : 1, observedAtMs, endsWindow, ...after }
  }

  #listingOf(piece: Piece): Listing {
    const open = this.#listings.get(piece.lane)
    if (open && open.piece.window.fromMs === piece.window.fromMs && open.piece.window.untilMs === piece.window.untilMs)
      return open
    const { stream, config, scope, http, clock, advance } = this.#of
    const { window, resume } = piece
    if (resume === null) advance?.windowBegins(piece.lane)
    const pages = stream.read({ config: config as never, scope, window, resume, nowMs: clock.now(), http })
    const listing = { piece, pages: pages[Symbol.asyncIterator](), resumed: resume !== null, count: 0, ahead: null }
    this.#listings.set(piece.lane, listing)
    return listing
  }

  #mayRestart(piece: Piece): boolean {
    const before = this.#restarts.get(piece.lane)
    const count = before?.fromMs === piece.window.fromMs ? before.count + 1 : 1
    this.#restarts.set(piece.lane, { fromMs: piece.window.fromMs, count: count > MOST_RESTARTS ? 0 : count })
    return count <= MOST_RESTARTS
  }
}

/** The window, for log lines and errors. */
export function place({ window }: Piece): { from: string; until: string } {
  return { from: new Date(window.fromMs).toISOString(), until: new Date(window.untilMs).toISOString() }
}
