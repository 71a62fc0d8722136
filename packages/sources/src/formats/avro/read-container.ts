import type { Types } from '@heapferry/domain'
import { beginningOf, type FileContent } from '../../unpacking/content.ts'
import { UnusableFile } from '../../unusable-file.ts'
import { AvroBytes, Undecodable } from './avro-bytes.ts'
import { type CompiledColumn, compileSchema, declaredType } from './compile-schema.ts'
import { syncBytes } from './scan-blocks.ts'
import { type UnpackBlock, unpackerOf } from './unpack-block.ts'

/**
 * What an object container file says of itself before its blocks.
 * https://avro.apache.org/docs/1.12.0/specification/#object-container-files
 */
export interface Container {
  columns: readonly CompiledColumn[]
  types: Types
  unpack: UnpackBlock
  /** Stands behind every block. */
  sync: Buffer
  firstBlockByte: number
}

const magic = 'Obj\x01'
// A schema of 450 columns, the widest users table known, takes about 40 kB.
const firstTryBytes = 64 * 1024
const maxHeaderBytes = 16 * 1024 * 1024

/** @throws UnusableFile when nothing can be read from the file */
export async function readContainer(content: FileContent): Promise<Container> {
  for (let bytes = firstTryBytes; ; bytes *= 4) {
    const { bytes: head, damage } = await beginningOf(content, bytes)
    const header = headerOf(head)
    if (header !== null) {
      const { meta, sync, firstBlockByte } = header
      const columns = compileSchema(meta.get('avro.schema') ?? '')
      const types = columns.map(({ kind }) => declaredType(kind))
      return { columns, types, unpack: unpackerOf(meta.get('avro.codec') ?? 'null'), sync, firstBlockByte }
    }
    if (head.length < bytes || bytes >= maxHeaderBytes) {
      throw new UnusableFile(
        damage === null ? 'its Avro header is damaged or cut off' : `its Avro header is cut off: ${damage}`,
        'The file is no complete Avro file: copy it again, or export the table again.',
      )
    }
  }
}

/** Null where the bytes end before the header does. */
function headerOf(head: Buffer): { meta: Map<string, string>; sync: Buffer; firstBlockByte: number } | null {
  const bytes = new AvroBytes(head)
  try {
    if (bytes.fixed(magic.length).toString('latin1') !== magic) return null
    const meta = new Map<string, string>()
    bytes.items(() => {
      const key = bytes.string()
      meta.set(key, bytes.string())
      return key
    })
    return { meta, sync: bytes.fixed(syncBytes), firstBlockByte: bytes.at }
  } catch (error) {
    if (!(error instanceof Undecodable)) throw error
    return null
  }
}
