/** The address is the state: page in the path, choices in the query, so that every view can be linked. Pure. */
import { CONSOLE_PAGES, type ConsolePage } from '../src/console.ts'

export type PageName = ConsolePage | 'overview'

export interface Place {
  readonly page: PageName
  readonly query: Readonly<Record<string, string>>
}

/** Links of alerts lead to `/ui/?alert=ID`. */
export function placeOf(path: string, search: string): Place {
  const query = Object.fromEntries(new URLSearchParams(search))
  const name = path.replace(/^\/ui\/?/, '').replace(/\/$/, '')
  const known = CONSOLE_PAGES.find(each => each === name)
  return { page: known ?? ('alert' in query ? 'alerts' : 'overview'), query }
}

/** Values that are empty are left out. */
export function pathOf(page: PageName, query: Readonly<Record<string, string>> = {}): string {
  const kept = Object.entries(query).filter(([, value]) => value !== '')
  const search = new URLSearchParams(kept).toString()
  return `/ui/${page === 'overview' ? '' : page}${search === '' ? '' : `?${search}`}`
}
