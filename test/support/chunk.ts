import {
  type Chunk,
  chunkIdOf,
  conversionVersion,
  defaultMapping,
  type ExportFile,
  FileId,
  type Run,
  RunId,
} from '@heapferry/domain'

export const columns = ['event_id', 'user_id', 'time']

export function fileOf(table: string): ExportFile {
  return {
    id: FileId.parse('0123456789ab'),
    path: `${table}.csv`,
    table: table === 'users' ? { kind: 'users', name: table } : { kind: 'event', name: table },
    format: { kind: 'csv', delimiter: ',', quote: '"' },
    compression: 'none',
    columns,
    firstRowByte: 0,
    version: { sizeBytes: 1000, mark: 'modified 1970-01-01T00:00:00.000Z' },
  }
}

export function chunkOf(run: RunId, file: ExportFile, index: number, rows = 10): Chunk {
  const range = { kind: 'bytes', start: index * rows, end: (index + 1) * rows } as const
  return { id: chunkIdOf(file.id, index), run, file: file.id, range, firstRow: index * rows + 1, rows, day: null }
}

export function runOf(name: string, changes: Partial<Run> = {}): Run {
  return {
    id: RunId.parse(name),
    root: '/export',
    source: '/export',
    destination: { kind: 'posthog', host: 'http://127.0.0.1:1', keyFingerprint: '0123456789abcdef' },
    mapping: defaultMapping,
    saltFingerprint: null,
    includeRecent: false,
    conversion: conversionVersion,
    maxRejectedPercent: 1,
    createdAtMs: Date.UTC(2024, 0, 1),
    chunkBytes: 1000,
    ...changes,
  }
}
