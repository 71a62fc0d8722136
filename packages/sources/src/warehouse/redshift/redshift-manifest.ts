import { errorMessage, OperatorError } from '@heapferry/domain'
import { z } from 'zod'
import type { ExportPlace } from '../../places/open-place.ts'
import { readBytes } from '../../places/read-bytes.ts'
import type { StagedPart } from '../stage.ts'

const Count = z.number().int().nonnegative()
const Meta = z.object({ content_length: Count, record_count: Count })

/** What UNLOAD with MANIFEST VERBOSE leaves when all is written. https://docs.aws.amazon.com/redshift/latest/dg/r_UNLOAD.html */
const Manifest = z.object({ entries: z.array(z.object({ url: z.string(), meta: Meta })), meta: Meta })

/** Null where there is none, as an UNLOAD that was cut off, or is still at it, has not written it. */
export async function redshiftManifest(place: ExportPlace, folder: string): Promise<StagedPart[] | null> {
  const path = `${folder}/manifest`
  if (!(await place.list()).includes(path)) return null
  const address = `${place.root}/${path}`
  const manifest = parsed(await readBytes(place, path), address)
  const rows = manifest.entries.reduce((sum, { meta }) => sum + meta.record_count, 0)
  if (rows !== manifest.meta.record_count)
    throw strange(address, `its files have ${rows} rows, and all together ${manifest.meta.record_count}`)
  return manifest.entries.map(({ url, meta }) => {
    const below = `${place.root}/${folder}/`
    if (!url.startsWith(below)) throw strange(address, `it names ${url}`)
    return { path: url.slice(place.root.length + 1), rows: meta.record_count, bytes: meta.content_length }
  })
}

function parsed(bytes: Buffer, address: string): z.infer<typeof Manifest> {
  try {
    return Manifest.parse(JSON.parse(bytes.toString('utf8')))
  } catch (cause) {
    throw strange(address, errorMessage(cause), cause)
  }
}

function strange(address: string, how: string, cause?: unknown): OperatorError {
  return new OperatorError(
    `${address} is not what UNLOAD writes: ${how}`,
    'Give --stage a prefix that nobody else writes to, and start another run with --run NAME.',
    { cause },
  )
}
