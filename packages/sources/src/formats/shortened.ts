/** The first few names, and a sign where there are more. */
export function shortened(names: readonly string[], most = 4): string {
  return names.slice(0, most).join(', ') + (names.length > most ? ', …' : '')
}
