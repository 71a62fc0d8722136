import { createHash } from 'node:crypto'
import { FileId, type FileVersion } from '@heapferry/domain'

/** Bytes at known offsets of something that must not change while it is read. */
export interface Blob {
  readonly version: FileVersion
  /**
   * Fills the whole target with the bytes from `at` on.
   * @throws SourceChanged when the bytes are no longer those of `version`
   */
  fill(target: Buffer, at: number): Promise<void>
  close(): Promise<void>
}

/** @param name the path relative to the export; where one file holds two tables, with something behind that no path has */
export function fileIdOf(name: string): FileId {
  return FileId.parse(createHash('sha256').update(name).digest('hex').slice(0, 12))
}
