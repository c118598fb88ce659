/** The filters and the paging that the dashboard's operations share. */
import { DateTime } from 'luxon'
import type { Conversation } from '../../../src/sim/index.ts'
import type { Quirks } from './quirks.ts'

export interface Filters {
  readonly fromMs: number
  readonly toMs: number
  /** Whether a conversation or message of this moment matches. */
  takes(atMs: number): boolean
  takesConversation(conversation: Conversation, searchable: Searchable): boolean
}

/** Fields that filters look at. */
export interface Searchable {
  readonly sessionCode: string
  readonly businessKey: string
  readonly channelUuid: string
  readonly flows: readonly string[]
  readonly tags: readonly string[]
}

/** An invalid parameter, and the status of the answer. */
export class Refused extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

export type Parameters = (name: string) => string | null

const DAY = 86_400_000

export function filtersOf(parameter: Parameters, quirks: Quirks): Filters {
  const zone = zoneOf(parameter('timezone') ?? 'UTC')
  const [start, end] = [dateOf(parameter, 'startDate'), dateOf(parameter, 'endDate')]
  if (start > end) throw new Refused(422, 'startDate must not be after endDate')
  if ((Date.parse(end) - Date.parse(start)) / DAY >= quirks.longestDays) throw new Refused(422, 'The range is too long')
  const [startHour, endHour] = [hourOf(parameter, 'startHour', 0), hourOf(parameter, 'endHour', 23)]
  const byDay = quirks.timePart === 'ignored'
  const fromMs = byDay ? midnight(start, zone) + (quirks.hours === 'ends' ? startHour * 3_600_000 : 0) : Date.parse(start)
  const toMs = byDay ? midnight(end, zone, 1) - 1 - (quirks.hours === 'ends' ? (23 - endHour) * 3_600_000 : 0) : Date.parse(end)
  const everyHour = quirks.hours === 'ends' || (startHour === 0 && endHour === 23)
  const takes = (atMs: number) => {
    if (atMs < fromMs || atMs > toMs) return false
    if (quirks.edges === 'exclusive' && (atMs === fromMs || atMs === toMs)) return false
    if (everyHour) return true
    const { hour } = DateTime.fromMillis(atMs, { zone })
    return startHour <= hour && hour <= endHour
  }
  const channels = listOf(parameter('channelUuids') ?? parameter('channelUUIDs'))
  const tags = listOf(parameter('tags'))
  const untagged = parameter('untagged') === 'true'
  const found = searchOf(parameter, quirks)
  return {
    fromMs,
    toMs,
    takes,
    takesConversation: (_, searchable) =>
      (channels.length === 0 || channels.includes(searchable.channelUuid)) &&
      tags.every(tag => searchable.tags.includes(tag)) &&
      !(untagged && searchable.tags.length > 0) &&
      found(searchable),
  }
}

function searchOf(parameter: Parameters, quirks: Quirks): (searchable: Searchable) => boolean {
  const by = parameter('searchBy')
  const term = parameter('searchTerm')
  if (by !== null && !['SESSION_CODE', 'BUSINESS_KEY', 'FLOW'].includes(by)) throw new Refused(400, 'searchBy is not known')
  if (by === null || term === null || quirks.search === 'ignored') return () => true
  if (by === 'FLOW') return searchable => searchable.flows.includes(term)
  return searchable => (by === 'SESSION_CODE' ? searchable.sessionCode : searchable.businessKey) === term
}

export interface Paging {
  /** From 0. */
  readonly page: number
  readonly size: number
}

export function pagingOf(parameter: Parameters, quirks: Quirks, usualSize: number): Paging {
  const { pageBase, pageZero, mostRows, ignorePage } = quirks
  const number = wholeOf(parameter, 'page', pageBase)
  if (number < 0 || (number < pageBase && pageZero === 'refused')) throw new Refused(400, `page starts at ${pageBase}`)
  const size = wholeOf(parameter, 'size', usualSize)
  if (size < 1) throw new Refused(400, 'size must be at least 1')
  return { page: ignorePage ? 0 : Math.max(0, number - pageBase), size: Math.min(size, mostRows) }
}

/** Spring's page. `number` counts from 0, as Spring does. */
export function envelope<T>(items: readonly T[], { page, size }: Paging, quirks: Quirks, row: (item: T) => unknown): object {
  const content = items.slice(page * size, (page + 1) * size).map(row)
  const totalPages = Math.ceil(items.length / size)
  const last = page + 1 >= totalPages
  if (quirks.envelope === 'bare') return { content, last }
  return {
    content,
    pageable: { pageNumber: page, pageSize: size, offset: page * size, paged: true, unpaged: false },
    sort: { sorted: true, unsorted: false, empty: false },
    number: page,
    size,
    numberOfElements: content.length,
    totalElements: items.length,
    totalPages,
    first: page === 0,
    last,
    empty: content.length === 0,
  }
}

export function wholeOf(parameter: Parameters, name: string, usual: number): number {
  const text = parameter(name)
  if (text === null || text === '') return usual
  if (!/^-?\d+$/.test(text)) throw new Refused(400, `${name} is not a number`)
  return Number(text)
}

function hourOf(parameter: Parameters, name: string, usual: number): number {
  const hour = wholeOf(parameter, name, usual)
  if (hour < 0 || hour > 23) throw new Refused(400, `${name} is 0 to 23`)
  return hour
}

function dateOf(parameter: Parameters, name: string): string {
  const text = parameter(name)
  if (text === null) throw new Refused(400, `Required request parameter '${name}' is not present`)
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(text) || Number.isNaN(Date.parse(text)))
    throw new Refused(400, `${name} must be yyyy-MM-dd'T'HH:mm:ss.SSS'Z'`)
  return text
}

function zoneOf(name: string): string {
  const zone = /^[+-]\d/.test(name) ? `UTC${name}` : name
  if (!DateTime.utc().setZone(zone).isValid) throw new Refused(400, 'timezone is not known')
  return zone
}

function midnight(date: string, zone: string, daysLater = 0): number {
  return DateTime.fromISO(date.slice(0, 10), { zone }).plus({ days: daysLater }).startOf('day').toMillis()
}

export function listOf(text: string | null): string[] {
  return (text ?? '')
    .split(',')
    .map(part => part.trim())
    .filter(part => part !== '')
}
