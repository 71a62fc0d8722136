import { defaultMapping, type ExportFile, type Mapping } from '@heapferry/domain'
import { inspectFile, openPlace, type ExportPlace, type S3Options } from '@heapferry/sources'

/** For exports in folders. */
export const noS3: S3Options = { pathStyle: false, requesterPays: false }

export function folderPlace(folder: string): Promise<ExportPlace> {
  return openPlace(folder, noS3)
}

/** The only table that a file holds. */
export async function onlyTable(
  place: ExportPlace,
  path: string,
  mapping: Mapping = defaultMapping,
): Promise<ExportFile> {
  const { files } = await inspectFile(place, { path }, mapping)
  const [file] = files
  if (!file || files.length > 1) throw new Error(`${path} holds ${files.length} tables`)
  return file
}
