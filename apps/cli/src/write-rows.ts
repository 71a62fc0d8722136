import { createWriteStream } from 'node:fs'
import { access, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { OperatorError } from '@heapferry/domain'

export interface WrittenFile {
  file: string
  rows: number
}

/**
 * Writes the rows of one table into `out`, those of several into a file each, named for its table. A file is there whole or
 * not at all, and only its owner may read it: it holds rows of people.
 */
export async function writeRows(
  tables: readonly { table: string; lines: AsyncIterable<string> }[],
  out: string,
  { force, signal }: { force: boolean; signal: AbortSignal },
): Promise<WrittenFile[]> {
  const names = namesOf(
    tables.map(({ table }) => table),
    out,
  )
  for (const name of names) await assertFree(name, force)
  const written: WrittenFile[] = []
  for (const [index, { lines }] of tables.entries()) {
    const file = names[index] ?? out
    const rows = await writeWhole(file, lines, force, signal)
    written.push({ file, rows })
  }
  return written
}

function namesOf(tables: readonly string[], out: string): string[] {
  if (tables.length === 1) return [out]
  const { dir, name, ext } = path.parse(out)
  const taken = new Set<string>()
  return tables.map((table) => {
    const plain = table.replaceAll(/[^\p{L}\d._-]/gu, '_')
    // Two tables may differ in nothing but signs that a file's name should not have.
    let own = plain
    for (let nth = 2; taken.has(own); nth++) own = `${plain}-${nth}`
    taken.add(own)
    return path.join(dir, `${name}-${own}${ext}`)
  })
}

async function assertFree(file: string, force: boolean): Promise<void> {
  const exists = await access(file).then(
    () => true,
    () => false,
  )
  if (exists && !force)
    throw new OperatorError(`${file} is there already`, 'Give another --out, or --force to replace it.')
}

async function writeWhole(
  file: string,
  lines: AsyncIterable<string>,
  force: boolean,
  signal: AbortSignal,
): Promise<number> {
  const draft = `${file}.${process.pid}`
  let rows = -1
  async function* counted(): AsyncGenerator<string> {
    for await (const line of lines) {
      rows++
      yield line
    }
  }
  try {
    await pipeline(Readable.from(counted()), createWriteStream(draft, { flags: 'wx', mode: 0o600 }), { signal })
    await assertFree(file, force)
    await rename(draft, file)
    return rows
  } catch (cause) {
    await rm(draft, { force: true })
    const isOfSystem = cause instanceof Error && 'syscall' in cause && !(cause instanceof OperatorError)
    if (!isOfSystem) throw cause
    throw new OperatorError(`${file} cannot be written: ${cause.message}`, 'Check the path given with --out.', {
      cause,
    })
  }
}
