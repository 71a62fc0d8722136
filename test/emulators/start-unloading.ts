import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { onTestFinished } from 'vitest'
import type { TestStore } from '../support/s3-stand-in.ts'

/** What goes wrong with UNLOAD statements from now on. */
interface UnloadFaults {
  /** After so many files of the next statement the connection breaks, and no manifest is written. */
  breakAfterFiles?: number
  /** So many rows of the next statement are in no file, while the manifest counts them. */
  losesRows?: number
  /** The same, and the manifest counts what is in the files. */
  skipsRows?: number
}

export interface UnloadingRedshift {
  port: number
  /** Texts of the UNLOAD statements so far. */
  statements: string[]
  faults: UnloadFaults
}

/**
 * A PostgreSQL that knows UNLOAD, which PostgreSQL does not: a stand-in of our own between client and server, made after
 * Amazon's documentation. It runs the query of the statement in the same session, writes the rows as Parquet (by
 * hyparquet-writer) in two files, as two slices do, and the manifest last, into a stand-in for S3.
 *
 * It shows that heapferry says what is documented, and takes what is documented to come of it; not that Redshift does so:
 * roles, sizes of files and row groups, types of columns, conflicts with what lies there, and what a statement that is broken
 * off leaves are as its authors think.
 */
export async function startUnloading(postgresPort: number, store: TestStore): Promise<UnloadingRedshift> {
  const told: UnloadingRedshift = { port: 0, statements: [], faults: {} }
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect(postgresPort, '127.0.0.1')
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
    }
    client.on('close', () => upstream.destroy())
    upstream.on('close', () => client.destroy())
    let captured: Captured | null = null
    messages(client, true, (type, body, raw) => {
      const sql = type === 'Q' ? body.toString('utf8', 0, body.length - 1) : ''
      if (!/^\s*unload/i.test(sql)) return void upstream.write(raw)
      told.statements.push(sql)
      captured = { statement: parsed(sql), columns: [], rows: [], failed: false }
      upstream.write(query(captured.statement.select))
    })
    messages(upstream, false, (type, body, raw) => {
      if (captured === null) return void client.write(raw)
      if (type === 'T') captured.columns = columnsOf(body)
      else if (type === 'D') captured.rows.push(cellsOf(body))
      else if (type === 'E') {
        captured.failed = true
        client.write(raw)
      } else if (type === 'Z') {
        const unloaded = captured
        captured = null
        if (unloaded.failed) {
          client.write(raw)
          return
        }
        const { faults } = told
        told.faults = {}
        upstream.pause()
        void write(unloaded, store, faults).then((isWhole) => {
          if (!isWhole) client.destroy()
          else {
            client.write(message('C', Buffer.from('UNLOAD\0')))
            client.write(raw)
            upstream.resume()
          }
        })
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  told.port = address.port
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  return told
}

interface Statement {
  select: string
  bucket: string
  prefix: string
}

interface Captured {
  statement: Statement
  columns: { name: string; type: number }[]
  rows: (string | null)[][]
  failed: boolean
}

/** Refuses what Amazon's documentation does not have. */
function parsed(sql: string): Statement {
  const text = `'((?:[^']|'')*)'`
  const [, select = '', to = ''] =
    new RegExp(
      `^unload \\(${text}\\) to ${text} iam_role (?:default|${text}) format parquet maxfilesize 256 mb manifest verbose$`,
    ).exec(sql) ?? []
  const [, bucket, prefix] = /^s3:\/\/([^/]+)\/(.+)$/.exec(to.replaceAll("''", "'")) ?? []
  if (bucket === undefined || prefix === undefined) throw new Error(`no statement that the stand-in knows: ${sql}`)
  return { select: select.replaceAll("''", "'"), bucket, prefix }
}

async function write({ statement, columns, rows }: Captured, store: TestStore, faults: UnloadFaults): Promise<boolean> {
  const { bucket, prefix } = statement
  const lost = faults.losesRows ?? faults.skipsRows ?? 0
  const half = Math.ceil(rows.length / 2)
  const slices = [rows.slice(0, half), rows.slice(half, rows.length - lost)].filter((slice) => slice.length > 0)
  const entries = []
  for (const [index, slice] of slices.entries()) {
    if (index >= (faults.breakAfterFiles ?? slices.length)) return false
    const bytes = parquetOf(columns, slice)
    const key = `${prefix}000${index}_part_00.parquet`
    await store.put(key, bytes)
    const isShort = index === slices.length - 1 && faults.losesRows !== undefined
    entries.push({
      url: `s3://${bucket}/${key}`,
      meta: { content_length: bytes.length, record_count: slice.length + (isShort ? lost : 0) },
    })
  }
  const meta = {
    content_length: entries.reduce((sum, entry) => sum + entry.meta.content_length, 0),
    record_count: entries.reduce((sum, entry) => sum + entry.meta.record_count, 0),
  }
  const elements = columns.map(({ name, type }) => ({ name, type: { base: String(type) } }))
  const author = { name: 'a stand-in for Amazon Redshift', version: '1.0.0' }
  await store.put(`${prefix}manifest`, JSON.stringify({ entries, schema: { elements }, meta, author }))
  return true
}

const converted = {
  16: { type: 'BOOLEAN' },
  20: { type: 'INT64' },
  21: { type: 'INT32' },
  23: { type: 'INT32' },
  700: { type: 'FLOAT' },
  701: { type: 'DOUBLE' },
  1114: { type: 'INT64', converted_type: 'TIMESTAMP_MICROS' },
} as const
const text = { type: 'BYTE_ARRAY', converted_type: 'UTF8' } as const

function parquetOf(columns: Captured['columns'], rows: Captured['rows']): Buffer {
  const elements = columns.map(({ name, type }) => ({
    name,
    repetition_type: 'OPTIONAL' as const,
    ...(isKnown(type) ? converted[type] : text),
  }))
  const columnData = columns.map(({ name, type }, at) => ({
    name,
    data: rows.map((row) => valueOf(row[at] ?? null, type)),
  }))
  const schema = [{ name: 'root', num_children: columns.length }, ...elements]
  return Buffer.from(parquetWriteBuffer({ columnData, schema, rowGroupSize: 1000 }))
}

function isKnown(type: number): type is keyof typeof converted {
  return type in converted
}

function valueOf(cell: string | null, type: number): unknown {
  if (cell === null) return null
  if (type === 16) return cell === 't'
  if (type === 20) return BigInt(cell)
  if (type === 1114) return microsOf(cell)
  return type === 21 || type === 23 || type === 700 || type === 701 ? Number(cell) : cell
}

function microsOf(time: string): bigint {
  const [, date = '', clock = '', fraction = ''] = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d+))?$/.exec(time) ?? []
  return BigInt(Date.parse(`${date}T${clock}Z`)) * 1000n + BigInt(fraction.padEnd(6, '0'))
}

/** https://www.postgresql.org/docs/current/protocol-message-formats.html */
function messages(
  socket: Socket,
  isClient: boolean,
  onMessage: (type: string, body: Buffer, raw: Buffer) => void,
): void {
  let left = Buffer.alloc(0)
  let isStarted = !isClient
  socket.on('data', (data) => {
    left = Buffer.concat([left, data])
    for (;;) {
      const head = isStarted ? 1 : 0
      if (left.length < head + 4) return
      const length = head + left.readInt32BE(head)
      if (left.length < length) return
      const raw = left.subarray(0, length)
      left = left.subarray(length)
      onMessage(isStarted ? String.fromCharCode(raw[0] ?? 0) : '', raw.subarray(head + 4), raw)
      isStarted = true
    }
  })
}

function message(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5)
  head.write(type, 0, 'latin1')
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

function query(sql: string): Buffer {
  return message('Q', Buffer.from(`${sql}\0`))
}

function columnsOf(body: Buffer): Captured['columns'] {
  const columns = []
  for (let at = 2; at < body.length; ) {
    const end = body.indexOf(0, at)
    columns.push({ name: body.toString('utf8', at, end), type: body.readInt32BE(end + 7) })
    at = end + 19
  }
  return columns
}

function cellsOf(body: Buffer): (string | null)[] {
  const cells = []
  for (let at = 2; at < body.length; ) {
    const length = body.readInt32BE(at)
    at += 4
    cells.push(length < 0 ? null : body.toString('utf8', at, at + length))
    at += Math.max(length, 0)
  }
  return cells
}
