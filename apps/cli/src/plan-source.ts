import { s3OptionsOf, type Settings } from '@heapferry/config'
import { type Mapping, OperatorError } from '@heapferry/domain'
import { type ExportPlan, type ExportPlanWork, type FoundExport, planExport } from '@heapferry/migration'
import { discover, type Discovery, type Inspected, inspectExport, noticesOf, sourceAt } from '@heapferry/sources'
import { passingLine } from './passing-line.ts'
import { planProgressText } from './plan-text.ts'

type Wanted = Pick<
  ExportPlanWork,
  'mapping' | 'against' | 'hashSalt' | 'includeRecent' | 'full' | 'eventsPerSecond' | 'signal'
>

/**
 * Plans what a SOURCE holds, and shows how far it is.
 * @returns null when the signal came
 */
export async function planSource(source: string, settings: Settings, wanted: Wanted): Promise<ExportPlan | null> {
  const progress = passingLine(planProgressText)

  const discovery = await discover(source, s3OptionsOf(settings))
  const { place } = discovery
  try {
    return await planExport(
      foundExport(source, discovery, await inspectExport(discovery, wanted.mapping), wanted.mapping),
      {
        ...wanted,
        nowMs: Date.now(),
        source: sourceAt(place),
        onProgress: progress.show,
      },
    )
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
