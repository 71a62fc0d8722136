import { type FileVersion, SourceChanged, versionText } from '@heapferry/domain'

/** @param now null where the file is gone */
export function sourceChanged(path: string, planned: FileVersion, now: FileVersion | null): SourceChanged {
  const found = now ? `${versionText(now)} now` : 'gone now'
  return new SourceChanged(
    `${path} has changed since it was planned: ${versionText(planned)} then, ${found}`,
    'Put the original file back, or start another run with --run NAME: rows that were sent already keep their uuids.',
  )
}
