import { type FileVersion, SourceChanged } from '@heapferry/domain'

/** @param now null where the file is gone */
export function sourceChanged(path: string, planned: FileVersion, now: FileVersion | null): SourceChanged {
  const found = now ? `${describe(now)} now` : 'gone now'
  return new SourceChanged(
    `${path} has changed since it was planned: ${describe(planned)} then, ${found}`,
    'Put the original file back, or start another run with --run NAME: rows that were sent already keep their uuids.',
  )
}

function describe(version: FileVersion): string {
  return `${version.sizeBytes} bytes (${version.mark})`
}
