/**
 * Pages of the windows that are due, one at a time. A lane's listing stays open while another lane goes first, so that live never waits for the
 * end of a long window. The cursor moves only when `accept` says that the page's records are in the batch.
 */
import type { Clock } from '../clock.ts'
import { asFlowError, asPluginError, type ErrorCode, FlowError } from '../errors.ts'
import { errorFields, type Log } from '../log.ts'
import type { Lane } from '../records.ts'
import type { Changes, Follow, Http, Page, Scope, Stream, Window } from '../source/contract.ts'
import type { Advance } from './advance.ts'
import { Demand, type Purpose } from './demand.ts'
import {
  afterPage,
  afterWindow,
  beginPace,
  dueAt,
  halveWindow,
  heldFrom,
  horizon,
  isLiveRead,
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
  /** Ids of the open rows that were last published from a window ending in `(afterMs, untilMs]`, and have not been read since `notSinceMs`. */
  openIds(afterMs: number, untilMs: number, notSinceMs: number): readonly string[]
  /** The vendor's time of a remembered row, epoch milliseconds; undefined: not known. */
  timeOf(rowId: string): number | undefined
  /** Told what is hot now and the requests an hour that this comes to, whenever a sweep has ended. */
  onDemand?(hotMs: number, perHour: ReadonlyMap<Purpose, number>): void
}

interface Listing {
  readonly piece: Piece
  readonly pages: AsyncIterator<Page>
  readonly resumed: boolean
  count: number
  /** Read already, because only the page after a last one tells that it was the last. */
  ahead: Page | null
}

/** A sweep, and windows around named rows, have listings of their own beside those of the lanes. */
type ListingKey = Lane | 'sweep' | 'named'

/** Rows that are asked for by their ids, some at a time. */
interface Round {
  readonly ids: readonly string[]
  /** When the next round begins. */
  readonly nextAtMs: number
}

const NO_ROUND: Round = { ids: [], nextAtMs: -Infinity }

/** Pages beside the plan's windows, until a pass or a backfill that is due gets one: there may be more open rows than a poll has time for. */
const BESIDE_IN_A_ROW = 4

/** How often one window is started again because its resume expired, before that counts as an error. */
const MOST_RESTARTS = 3

export class Reader {
  readonly #of: ReaderParts
  readonly #listings = new Map<ListingKey, Listing>()
  readonly #restarts = new Map<ListingKey, { fromMs: number; count: number }>()
  /** Open rows inside the lookback, asked for at each poll, and those that have left it, at most once every lookback interval. */
  #open: Round = NO_ROUND
  #left: Round = NO_ROUND
  /** Windows around rows that the change feed has named, the newest first; up to when it was read, and when it is read next. */
  #named: { readonly windows: readonly Window[]; readonly readMs: number | null; readonly nextAtMs: number } = {
    windows: [],
    readMs: null,
    nextAtMs: -Infinity,
  }
  readonly #demand: Demand
  /** Pages of rows beside the plan's windows, one after the other. */
  #besides = 0
  /** What the change feed failed with last; null: it answers. */
  #feedFault: ErrorCode | null = null
  #purpose: Purpose = 'sweep'
  #pace: Pace
  /** When live was read last. */
  #liveMs: number
  cursor: KnownCursor
  /** Of the read under way. */
  lane: Lane = 'live'

  constructor(of: ReaderParts, cursor: KnownCursor) {
    this.#of = of
    this.#pace = beginPace(of.spec)
    this.#demand = new Demand(of.spec)
    this.#liveMs = of.clock.now()
    this.cursor = cursor
  }

  /**
   * The lane for which the read under way asks, in the quota's order: its own, but live where a poll is late because of it. A page of the past can take many
   * requests, and live of the same source partition waits for all of them.
   */
  get turn(): Lane {
    const isLate = this.#of.clock.now() - this.#liveMs > this.#of.spec.pollIntervalMs
    return isLate ? 'live' : this.lane
  }

  /** A request was made for the source partition. */
  asked(): void {
    this.#demand.asked(this.#purpose)
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
      const isPlansTurn =
        piece !== null && (this.#besides >= BESIDE_IN_A_ROW || (piece.lane === 'live' && this.#pace.livePages <= 1))
      const beside = isPlansTurn ? null : await this.#beside()
      this.#besides = beside === null ? 0 : this.#besides + 1
      if (beside !== null) return beside
      if (piece === null) return null
      this.#turnTo(piece.lane, piece.swept ? 'sweep' : piece.lane === 'lookback' ? 'passes' : 'backfill')
      try {
        const step = await this.#read(piece)
        if (piece.window.untilMs <= clock.now() + SKEW_MS) return step
        this.#setBack(piece)
      } catch (thrown) {
        this.#listings.delete(keyOf(piece))
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
          this.cursor = startWindowAgain(this.cursor, piece)
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
    const { piece, endsWindow } = step
    this.#of.advance?.accepted(step, this.cursor)
    this.cursor = step.cursor
    this.#pace = step.pace
    if (!endsWindow) return
    this.#listings.delete(keyOf(piece))
    const { fromMs, untilMs } = piece.window
    if (piece.named) this.#named = { ...this.#named, windows: this.#named.windows.filter(window => window !== piece.window) }
    else if (piece.lane === 'lookback') this.#demand.ended('passes', untilMs - fromMs)
    else if (piece.swept && this.#pace.sweep === null) this.#sweepEnded()
  }

  /** What is hot is shortened where the whole of what is asked would not fit the quota, and grows again when it does. */
  #sweepEnded(): void {
    const { log, spec } = this.#of
    const { hotMs } = this.#pace
    this.#demand.ended('sweep', hotMs)
    const wantedMs = this.#demand.hotMs(hotMs)
    this.#of.onDemand?.(wantedMs, this.#demand.perHour(wantedMs))
    if (wantedMs === hotMs) return
    this.#pace = { ...this.#pace, hotMs: wantedMs }
    const fields = { hotMs: wantedMs, wantedHotMs: spec.hotMs, mostPerHour: spec.mostPerHour }
    if (wantedMs < hotMs) log.warn(fields, 'rows are read again at every poll for a shorter time: more would not fit the quota')
    else log.info(fields, 'rows are read again at every poll for a longer time')
  }

  /** What is asked of the vendor from now on is for this. */
  #turnTo(lane: Lane, purpose: Purpose): void {
    if (lane === 'live') this.#liveMs = this.#of.clock.now()
    this.lane = lane
    this.#purpose = purpose
  }

  /** Epoch milliseconds. */
  dueAt(): number {
    const { spec, stream, clock } = this.#of
    this.#keepPace(clock.now())
    const plannedMs = dueAt(this.cursor, this.#pace, spec)
    const openMs = stream.follow ? Math.min(this.#open.nextAtMs, this.#left.nextAtMs) : Infinity
    return Math.min(plannedMs, openMs, stream.changes ? this.#named.nextAtMs : Infinity)
  }

  /** Nothing is due later than its interval from now: it would be where the clock was ahead when that was set, and is not any more. */
  #keepPace(nowMs: number): void {
    const { pollIntervalMs, lookbackIntervalMs } = this.#of.spec
    const { pollAtMs, lookbackAtMs, edgeMs, sweep } = this.#pace
    const pollBy = nowMs + pollIntervalMs
    if (pollAtMs > pollBy) {
      const isAhead = sweep !== null && sweep.edgeMs > nowMs
      this.#pace = { ...this.#pace, pollAtMs: pollBy, edgeMs: Math.min(edgeMs, nowMs), sweep: isAhead ? null : sweep }
    }
    const passBy = nowMs + lookbackIntervalMs
    // While a backfill waits, a pass may be due later than that: as much later as the one before it took.
    if (lookbackAtMs > passBy && this.cursor.backfill === null) this.#pace = { ...this.#pace, lookbackAtMs: passBy }
    if (this.#left.nextAtMs > passBy) this.#left = { ...this.#left, nextAtMs: passBy }
    if (this.#open.nextAtMs > pollBy) this.#open = { ...this.#open, nextAtMs: pollBy }
    if (this.#named.nextAtMs > pollBy)
      this.#named = { ...this.#named, nextAtMs: pollBy, readMs: Math.min(this.#named.readMs ?? nowMs, nowMs) }
  }

  /** True when there is more to read than the vendor's newest. */
  get isBehind(): boolean {
    return this.cursor.backfill !== null || !this.isLiveRead
  }

  /** True when the live edge has been read as far as it stood when it was looked at last. */
  get isLiveRead(): boolean {
    return isLiveRead(this.cursor, this.#pace, this.#of.spec)
  }

  /** Gives up the listings that are open; does not wait for one that is in the middle of a request. */
  close(): void {
    for (const { pages } of this.#listings.values()) void pages.return?.().catch(() => {})
    this.#listings.clear()
  }

  /** A page of what is read beside the plan's windows: rows that have changed, then open rows. Moves no cursor: a round that was cut short begins anew. */
  async #beside(): Promise<Step | null> {
    return (await this.#changed()) ?? (await this.#askOpen())
  }

  /**
   * A page of the rows that the change feed has named; null when there is none. A feed is a hint: whatever goes wrong with it is told once, and its rows are left
   * to the passes.
   */
  async #changed(): Promise<Step | null> {
    const { stream, clock, log, spec } = this.#of
    if (!stream.changes) return null
    const nowMs = clock.now()
    try {
      if (this.#named.windows.length === 0) {
        if (nowMs < this.#named.nextAtMs) return null
        this.#turnTo('live', 'changed')
        this.#named = {
          windows: await this.#askChanges(stream.changes, nowMs),
          readMs: nowMs,
          nextAtMs: nowMs + spec.pollIntervalMs,
        }
        this.#demand.ended('changed', spec.pollIntervalMs)
        if (this.#feedFault !== null) log.info({}, 'the vendor tells again what has changed')
        this.#feedFault = null
      }
      const [window] = this.#named.windows
      if (window === undefined) return null
      this.#turnTo('live', 'changed')
      return await this.#read({ lane: 'lookback', window, resume: null, forgotten: false, named: true })
    } catch (thrown) {
      this.#listings.delete('named')
      const error = asPluginError(thrown, 'changes.read')
      if (error.code === 'STOPPED') throw error
      this.#named = { windows: [], readMs: this.#named.readMs, nextAtMs: clock.now() + spec.pollIntervalMs }
      if (this.#feedFault !== error.code)
        log.warn(errorFields(error), 'what has changed cannot be told; it is found by the next passes')
      this.#feedFault = error.code
      return null
    }
  }

  /** Windows around the named rows that are older than what is hot and still inside the lookback, the newest first. */
  async #askChanges(changes: Changes, nowMs: number): Promise<Window[]> {
    const { config, scope, http, spec } = this.#of
    const fromMs = (this.#named.readMs ?? nowMs - 2 * spec.pollIntervalMs) - changes.lagMs
    const window = { fromMs: Math.max(fromMs, nowMs - spec.lookbackMs), untilMs: nowMs }
    const { ids = [], windows = [] } = await changes.read({ config: config as never, scope, window, nowMs, http })
    const times = [...new Set(ids)].flatMap(id => this.#of.timeOf(id) ?? [])
    const named = [...windows, ...times.map(atMs => ({ fromMs: atMs, untilMs: atMs + AROUND_MS }))]
    // Of rows from before then nothing is remembered: they would be published as new ones.
    const sinceMs = Math.max(nowMs - spec.lookbackMs, heldFrom(this.cursor, spec))
    const isOld = ({ fromMs }: Window) => fromMs < nowMs - this.#pace.hotMs && fromMs >= sinceMs
    return joined(named.filter(isOld), changes.joinMs ?? 0)
  }

  /** Some of the open rows, by their ids; null when none is due. */
  async #askOpen(): Promise<Step | null> {
    const { stream, spec, clock } = this.#of
    if (!stream.follow) return null
    const nowMs = clock.now()
    const horizonMs = horizon(this.cursor, spec)
    if (this.#open.ids.length === 0 && nowMs >= this.#open.nextAtMs) {
      // What a sweep or a window has just read is not asked for again.
      const ids = this.#of.openIds(horizonMs, Infinity, nowMs - spec.pollIntervalMs)
      this.#open = { ids, nextAtMs: nowMs + spec.pollIntervalMs }
    }
    if (this.#left.ids.length === 0 && nowMs >= this.#left.nextAtMs) {
      const ids = this.#of.openIds(horizonMs - spec.followMs, horizonMs, Infinity)
      this.#left = { ids, nextAtMs: nowMs + spec.lookbackIntervalMs }
    }
    if (this.#open.ids.length > 0) return this.#ask(stream.follow, this.#open, 'live', nowMs, left => (this.#open = left))
    if (this.#left.ids.length > 0) return this.#ask(stream.follow, this.#left, 'lookback', horizonMs, left => (this.#left = left))
    return null
  }

  async #ask(follow: Follow, round: Round, lane: Lane, atMs: number, keep: (left: Round) => void): Promise<Step | null> {
    const { config, scope, http, clock, log } = this.#of
    const ids = round.ids.slice(0, follow.atOnce)
    const left = round.ids.slice(ids.length)
    this.#turnTo(lane, 'open')
    const piece: Piece = {
      lane: 'lookback',
      window: { fromMs: atMs, untilMs: atMs },
      resume: null,
      forgotten: false,
      followed: true,
    }
    try {
      const rows = await follow.read({ config: config as never, scope, ids, nowMs: clock.now(), http })
      keep({ ...round, ids: left })
      if (lane === 'live' && left.length === 0) this.#demand.ended('open', 0)
      return { piece, rows, pages: 1, observedAtMs: clock.now(), endsWindow: false, cursor: this.cursor, pace: this.#pace }
    } catch (thrown) {
      keep({ ...round, ids: [] })
      const error = asPluginError(thrown, 'follow.read')
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
    const result = await listing.pages.next().catch((thrown: unknown) => {
      throw asPluginError(thrown, 'read')
    })
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
    const open = this.#listings.get(keyOf(piece))
    if (open && open.piece.window.fromMs === piece.window.fromMs && open.piece.window.untilMs === piece.window.untilMs)
      return open
    const { stream, config, scope, http, clock, advance } = this.#of
    const { window, resume, lane } = piece
    if (resume === null) advance?.windowBegins(piece)
    const again = lane === 'lookback'
    const pages = stream.read({ config: config as never, scope, window, resume, again, nowMs: clock.now(), http })
    const listing = { piece, pages: pages[Symbol.asyncIterator](), resumed: resume !== null, count: 0, ahead: null }
    this.#listings.set(keyOf(piece), listing)
    return listing
  }

  #mayRestart(piece: Piece): boolean {
    const key = keyOf(piece)
    const before = this.#restarts.get(key)
    const count = before?.fromMs === piece.window.fromMs ? before.count + 1 : 1
    this.#restarts.set(key, { fromMs: piece.window.fromMs, count: count > MOST_RESTARTS ? 0 : count })
    return count <= MOST_RESTARTS
  }
}

function keyOf({ lane, swept, named }: Piece): ListingKey {
  return swept ? 'sweep' : named ? 'named' : lane
}

/** Vendors tell times in whole seconds, too. */
const AROUND_MS = 1000

/** The windows, the newest first; those that are no further apart than `apartMs` are one. */
export function joined(windows: readonly Window[], apartMs: number): Window[] {
  const all: { fromMs: number; untilMs: number }[] = []
  for (const { fromMs, untilMs } of windows.toSorted((a, b) => b.fromMs - a.fromMs)) {
    const last = all.at(-1)
    if (last === undefined || last.fromMs - untilMs > apartMs) all.push({ fromMs, untilMs })
    else Object.assign(last, { fromMs, untilMs: Math.max(last.untilMs, untilMs) })
  }
  return all
}

/** The window, for log lines and errors. */
export function place({ window }: Piece): { from: string; until: string } {
  return { from: new Date(window.fromMs).toISOString(), until: new Date(window.untilMs).toISOString() }
}
