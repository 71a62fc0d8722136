import type {
  Compression,
  CsvDialect,
  Cut,
  ExportFile,
  FileSample,
  Format,
  FoundRow,
  Mapping,
  Piece,
  Place,
  Position,
  ReadRow,
  Slice,
  SliceLimits,
  Table,
} from '@heapferry/domain'
import type { Blob } from '../places/blob.ts'
import type { Beginning, FileContent } from '../unpacking/content.ts'
import type { WantedPlaces } from './wanted-places.ts'

/** A file as it lies there, and what it unpacks to. */
export interface OpenFile {
  blob: Blob
  content: FileContent
}

/** A file of which nothing is known but its name. */
export interface UnknownFile extends OpenFile {
  path: string
  compression: Compression
  /** The table that it is named for. */
  table: string
  /** Its own name, with what stands around that of the table. */
  called: string
  mapping: Mapping
  beginning: Beginning
  looking: Looking
}

/** How far a file of CSV is looked at for how it quotes, and which dialects other files of the export show. */
export interface Looking {
  bytes: number
  shown: readonly CsvDialect[]
}

/** What the beginning of a file tells of a table in it. */
export interface TableInFile {
  format: Format
  columns: readonly string[]
  firstRowByte: number
  types?: ExportFile['types']
  /** Where the content tells more than the file's name. */
  table?: Table
  notices?: string[]
}

/**
 * The tables that a file holds: none where it has no rows, two where events and identify records are mixed.
 * @throws OperatorError or UnusableFile when no table can be read from it
 */
export type Inspect = (file: UnknownFile) => Promise<TableInFile[]>

export const wholeFile: Piece = { range: { kind: 'whole' }, firstRow: 1 }
export const fromFirstRow: Position = { cursor: 0, rows: 0 }

export interface Reading {
  piece: Piece
  from: Position
  limits: SliceLimits
}

/** What can be done with a file that was inspected. There is one for each kind of format. */
export interface FileFormat {
  /** About so many bytes each, from the first row to the end. Cutting again gives the same. */
  cut(opened: OpenFile, chunkBytes: number): AsyncGenerator<Cut>
  read(opened: OpenFile, reading: Reading): AsyncGenerator<Slice>
  rowsAt(opened: OpenFile, wanted: WantedPlaces): AsyncGenerator<FoundRow>
  /** About so many rows, from all over the file where that can be had for a few megabytes. */
  sample(opened: OpenFile, rows: number): Promise<FileSample>
  /** Null where more than `maxBytes` would have to be read to tell. */
  countRows(opened: OpenFile, maxBytes: number): Promise<number | null>
  /** Null where rows are no text. */
  rowOfText: ((text: string, place: Place) => Promise<ReadRow>) | null
}
