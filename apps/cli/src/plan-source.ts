import { s3OptionsOf, type Settings, warehouseOptionsOf } from '@heapferry/config'
import { type ExportFile, type Mapping, OperatorError } from '@heapferry/domain'
import {
  type ExportPlan,
  type ExportPlanWork,
  type FoundExport,
  planExport,
  readBeforeEvents,
} from '@heapferry/migration'
import {
  discover,
  type Discovery,
  type Inspected,
  inspectExport,
  isWarehouse,
  noticesOf,
  openWarehouse,
  sampleWarehouse,
  sourceAt,
} from '@heapferry/sources'
import { passingLine } from './passing-line.ts'
import { planProgressText } from './plan-text.ts'

type Wanted = Pick<
  ExportPlanWork,
  'mapping' | 'against' | 'hashSalt' | 'includeRecent' | 'full' | 'eventsPerSecond' | 'signal'
> & {
  /** A bucket that a warehouse is to write into itself. */
  stage?: string | undefined
}

/**
 * Plans what a SOURCE holds, and shows how far it is.
 * @returns null when the signal came
 */
export async function planSource(source: string, settings: Settings, wanted: Wanted): Promise<ExportPlan | null> {
  if (isWarehouse(source)) return planWarehouse(source, settings, wanted)
  const discovery = await discover(source, s3OptionsOf(settings))
  const found = foundExport(source, discovery, await inspectExport(discovery, wanted.mapping), wanted.mapping)
  return planned(found, discovery, sourceAt(discovery.place), wanted)
}

/** Of its catalogue, its numbers of rows and the first rows of each table. */
async function planWarehouse(source: string, settings: Settings, wanted: Wanted): Promise<ExportPlan | null> {
  if (wanted.full)
    throw new OperatorError(
      'A warehouse is planned by samples: to read every row is to unload it',
      'Plan without --full. `heapferry enqueue SOURCE --to jsonl:FOLDER` unloads and sends nothing.',
    )
  const samples = await samplesOf(source, settings, wanted)
  if (samples === null) return null
  const { address, ...sampled } = samples
  const { discovery } = sampled
  const found = foundExport(address, discovery, await inspectExport(discovery, wanted.mapping), wanted.mapping)
  const files = sampled.files(found.files)
  return planned(
    {
      ...found,
      files,
      leftOut: sampled.leftOut,
      counted: sampled.rows,
      notices: [...found.notices, sendingNotice(files, wanted.mapping)],
    },
    discovery,
    sampled.source(sourceAt(discovery.place)),
    wanted,
  )
}

/** What is unloaded before anything is sent. */
function sendingNotice(files: readonly ExportFile[], mapping: Mapping): string {
  const first = readBeforeEvents({ mapping }, files)
  if (first.some(({ table }) => table.kind === 'event'))
    return 'All is unloaded before anything is sent: what was first of people is looked for in all events, as no sessions or pageviews tell it. first_touch: skip in the mapping file has events sent while it is unloaded'
  const names = first.map(({ table }) => table.name).toSorted()
  return `Unloaded whole before anything is sent: ${names.join(', ') || 'nothing'}. Other tables are sent while they are unloaded`
}

/** Null when the signal came. */
async function samplesOf(source: string, settings: Settings, { mapping, signal, stage }: Wanted) {
  const warehouse = await openWarehouse(source, warehouseOptionsOf(settings), { signal })
  try {
    return { address: warehouse.address, ...(await sampleWarehouse(warehouse, { mapping, bucket: stage })) }
  } catch (error) {
    if (signal.aborted) return null
    throw error
  } finally {
    await warehouse.close()
  }
}

async function planned(found: FoundExport, { place }: Discovery, source: ExportPlanWork['source'], wanted: Wanted) {
  const progress = passingLine(planProgressText)
  try {
    return await planExport(found, { ...wanted, nowMs: Date.now(), source, onProgress: progress.show })
  } finally {
    progress.end()
    place.close()
  }
}

function foundExport(
  source: string,
  { notices }: Discovery,
  inspected: readonly Inspected[],
  mapping: Mapping,
): FoundExport {
  const found = {
    source,
    files: inspected.flatMap((one) => (one.kind === 'inspected' ? one.files : [])),
    faults: inspected.flatMap((one) => {
      if (one.kind === 'inspected') return []
      return [{ file: one.found.path, problem: one.fault.message, hint: one.fault.hint }]
    }),
    notices: [...notices, ...noticesOf(inspected, mapping)],
  }
  if (found.files.length === 0 && found.faults.length === 0)
    throw new OperatorError(`${source} holds only empty files`, 'Export the tables again with their headers.')
  return found
}
