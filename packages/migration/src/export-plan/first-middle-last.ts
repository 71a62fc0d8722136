import type { ExportFile } from '@heapferry/domain'

/** Files that stand for all of them, wherever in time those lie. */
export function firstMiddleLast(files: readonly ExportFile[]): ExportFile[] {
  const last = files.length - 1
  return files.filter((_, index) => [0, Math.floor(last / 2), last].includes(index))
}
