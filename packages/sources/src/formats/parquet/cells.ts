import type { ParquetCell } from './value-text.ts'

/** What rows have in a column, to be passed once and in order. */
export interface Cells {
  skip(rows: number): void
  take(rows: number, taken: ParquetCell[]): void
}

/** @param present for every row whether it has a value; null where all have one */
export function cellsOf(present: Uint8Array | null, cellAt: (value: number) => ParquetCell): Cells {
  let row = 0
  let value = 0
  return {
    skip(rows) {
      for (const end = row + rows; row < end; row++) if (present === null || present[row] === 1) value++
    },
    take(rows, taken) {
      for (const end = row + rows; row < end; row++) {
        taken.push(present === null || present[row] === 1 ? cellAt(value++) : null)
      }
    },
  }
}

/** Of rows of which nothing can be read. */
export function lostCells(detail: string): Cells {
  const cell = { detail }
  return {
    skip() {},
    take(rows, taken) {
      for (let row = 0; row < rows; row++) taken.push(cell)
    },
  }
}
