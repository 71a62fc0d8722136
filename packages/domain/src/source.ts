import type { Cut, Piece } from './chunk.ts'
import type { ExportFile } from './export.ts'
import type { Place, Position, ReadRow, Slice, SliceLimits } from './reading.ts'

/**
 * An export, as everybody reads it, whatever its files are and wherever they lie.
 *
 * Whatever reads a file throws SourceChanged when it is not the one that was planned, and OperatorError when it cannot be
 * read at all. A row that cannot be read is data.
 */
export interface Source {
  /** The pieces of about `chunkBytes` that tile a file. The same file is always cut in the same places. */
  cut(file: ExportFile, chunkBytes: number): AsyncIterable<Cut>
  /** The rows of a piece after a position. */
  read(file: ExportFile, piece: Piece, from: Position, limits: SliceLimits): AsyncIterable<Slice>
  /** All rows of a file, in slices of a few megabytes unless told otherwise. */
  readAll(file: ExportFile, limits?: SliceLimits): AsyncIterable<Slice>
  /**
   * The rows at some places of a file, one for each place, which are given in the file's order. Where no row begins at a
   * place it is unreadable.
   */
  rowsAt(file: ExportFile, places: Iterable<Place>): AsyncIterable<FoundRow>
  /** A row of a file from its text, which a person has mended; unreadable where files of its format are no text. */
  rowOfText(file: ExportFile, text: string, place: Place): Promise<ReadRow>
  /**
   * About so many rows from the beginning, the middle and the end of a file; all from its beginning where nothing else can
   * be reached without what lies before it; every row of a file of less than a megabyte. Reads a few megabytes at most,
   * however large the file is.
   */
  sample(file: ExportFile, rows: number): Promise<FileSample>
  /**
   * How many rows a file has, counted as the producer counts them; null where more than `maxBytes` would have to be read
   * to tell.
   */
  countRows(file: ExportFile, maxBytes: number): Promise<number | null>
  /** SHA-256 of a file as it lies there, in hex; null where it is not the one that was planned any more, or gone. */
  checksum(file: ExportFile): Promise<string | null>
  close(): void
}

/** A row that was read again by its place. */
export interface FoundRow {
  row: ReadRow
  /** Of a row that cannot be read: what stands there, � for bytes that are no UTF-8; null where it is no text. */
  text: string | null
}

/** Some rows of a file. */
export interface FileSample {
  /** In the file's order. Where they are not from its beginning, only the byte of their place is true. */
  rows: readonly ReadRow[]
  /** Mean size of a row in the file as it lies there, packed or not; null where no row was read. */
  bytesPerRow: number | null
  /** These are all rows of the file. */
  whole: boolean
}
