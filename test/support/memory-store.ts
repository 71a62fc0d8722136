import { OperatorError, type WorkStore } from '@heapferry/domain'
import type { Scratch } from '@heapferry/migration'

/** A work store in memory. */
export function memoryStore() {
  const stored = new Map<string, Uint8Array>()
  const written: string[] = []
  const bytesOf = (path: string): Uint8Array => {
    const bytes = stored.get(path)
    if (bytes === undefined) throw new OperatorError(`${path} is not there`, 'Put it there.')
    return bytes
  }
  const store: WorkStore = {
    root: '/work',
    read: async (path) => bytesOf(path),
    async open(path) {
      const bytes = bytesOf(path)
      return {
        sizeBytes: bytes.length,
        read: async (at, length) => bytes.slice(at, at + length),
        close: async () => {},
      }
    },
    async put(path, parts) {
      stored.set(path, Buffer.concat(parts))
      written.push(path)
    },
    async putTable(path, parts) {
      await this.put(path, parts)
      return { sizeBytes: bytesOf(path).length, mark: '' }
    },
    close() {},
  }
  return { store, stored, written }
}

export function memoryScratch(): Scratch {
  const parts = new Map<number, Buffer>()
  return {
    async append(part, bytes) {
      parts.set(part, Buffer.concat([parts.get(part) ?? Buffer.alloc(0), bytes]))
    },
    async take(part) {
      const bytes = parts.get(part) ?? new Uint8Array()
      parts.delete(part)
      return bytes
    },
  }
}
