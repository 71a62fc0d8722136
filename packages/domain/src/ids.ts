import { z } from 'zod'

/**
 * A run's name, typed by a person or made from its source. It is part of Redis keys, queue names and file names,
 * so the alphabet is what all three take without escaping (BullMQ refuses `:`).
 */
export const RunId = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9._-]{0,62}$/,
    'expected 1 to 63 of a-z, 0-9, ".", "_" and "-", starting with a letter or digit',
  )
  .brand('RunId')
export type RunId = z.infer<typeof RunId>

/** Names a file of an export inside its run: the first 12 hex digits of SHA-256 of its path relative to the export. */
export const FileId = z
  .string()
  .regex(/^[0-9a-f]{12}$/)
  .brand('FileId')
export type FileId = z.infer<typeof FileId>

/** `<file id>-<number of the chunk in its file, six digits>`; also BullMQ's job id, which must not be digits only. */
export const ChunkId = z
  .string()
  .regex(/^[0-9a-f]{12}-\d{6,}$/)
  .brand('ChunkId')
export type ChunkId = z.infer<typeof ChunkId>

export function chunkIdOf(file: FileId, index: number): ChunkId {
  return ChunkId.parse(`${file}-${String(index).padStart(6, '0')}`)
}
