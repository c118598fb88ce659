/** Moves between pages without loading the document again. */
import { useEffect, useState } from 'preact/hooks'
import { type Place, placeOf } from './place.ts'

export { type PageName, pathOf } from './place.ts'

const MOVED = 'colloquy:moved'

export function go(path: string, how: 'push' | 'replace' = 'push'): void {
  if (how === 'push') history.pushState(null, '', path)
  else history.replaceState(null, '', path)
  window.dispatchEvent(new Event(MOVED))
}

export function usePlace(): Place {
  const here = () => placeOf(location.pathname, location.search)
  const [place, setPlace] = useState(here)
  useEffect(() => {
    const moved = () => setPlace(here())
    window.addEventListener('popstate', moved)
    window.addEventListener(MOVED, moved)
    return () => {
      window.removeEventListener('popstate', moved)
      window.removeEventListener(MOVED, moved)
    }
  }, [])
  return place
}
