/** The name that somebody probably meant who has written `word`; undefined where none is near. */
export function nearestName(word: string, names: Iterable<string>): string | undefined {
  const lower = word.toLowerCase()
  let nearest: string | undefined
  // One slip for every three letters: what is farther away is another word.
  let most = Math.max(1, Math.floor(word.length / 3))
  for (const name of names) {
    const slips = slipsBetween(lower, name.toLowerCase(), most)
    if (slips > most || (nearest !== undefined && slips === most)) continue
    nearest = name
    most = slips
  }
  return nearest
}

/** Letters to add, to leave out, to change, or to swap with the next; anything above `most` where there are more. */
function slipsBetween(a: string, b: string, most: number): number {
  if (Math.abs(a.length - b.length) > most) return most + 1
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    for (let column = 1; column <= b.length; column++) {
      const isSame = a[row - 1] === b[column - 1]
      const changed = (last[column - 1] ?? 0) + (isSame ? 0 : 1)
      const isSwapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]
      const swapped = isSwapped ? (beforeLast[column - 2] ?? 0) + 1 : changed
      current.push(Math.min(changed, swapped, (last[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1))
    }
    beforeLast = last
    last = current
  }
  return last[b.length] ?? 0
}
