/** The known word that was probably meant by a misspelt one, in any case; undefined if none is near enough (a third of its letters). */
export function nearestOf(word: string, known: readonly string[]): string | undefined {
  const asked = word.toLowerCase()
  const [nearest] = known
    .map(each => ({ each, edits: editsBetween(asked, each.toLowerCase()) }))
    .sort((a, b) => a.edits - b.edits)
  return nearest !== undefined && nearest.edits <= Math.max(2, Math.floor(nearest.each.length / 3)) ? nearest.each : undefined
}

/** Letters to insert, remove or change to turn one word into the other. */
function editsBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++) {
      next.push(Math.min((next[j] ?? 0) + 1, (row[j + 1] ?? 0) + 1, (row[j] ?? 0) + (a[i] === b[j] ? 0 : 1)))
    }
    row = next
  }
  return row.at(-1) ?? 0
}
