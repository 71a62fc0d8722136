import type { ExportFile, ReadRow, SliceLimits, Source } from '@heapferry/domain'

/** The rows that come with the first read of a file. */
export async function firstRows(
  source: Pick<Source, 'readAll'>,
  file: ExportFile,
  limits: SliceLimits,
): Promise<ReadRow[]> {
  for await (const { rows } of source.readAll(file, limits)) return [...rows]
  return []
}
