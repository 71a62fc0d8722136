// Programs that open CSV take such a cell for a formula, which may ask another host for something, or start a program.
const formula = /^'*[=+\-@\t\r\n＝＋－＠]/

/** A cell that no spreadsheet calculates: with a `'` in front where it begins like a formula, or was such a cell with one. */
export function withoutFormula(cell: string): string {
  return formula.test(cell) ? `'${cell}` : cell
}

/** The cell that `withoutFormula` was given; a person may have taken its `'` away. */
export function withFormula(cell: string): string {
  return cell.startsWith("'") && formula.test(cell) ? cell.slice(1) : cell
}
