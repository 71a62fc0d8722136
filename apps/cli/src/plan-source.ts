import { s3OptionsOf, type Settings } from '@heapferry/config'
import { OperatorError } from '@heapferry/domain'
import type { ExportPlan, ExportPlanWork, FoundExport, PlanProgress } from '@heapferry/migration'
import type { Discovery, Inspected } from '@heapferry/sources'

type Wanted = Pick<
  ExportPlanWork,
  'mapping' | 'against' | 'hashSalt' | 'includeRecent' | 'full' | 'eventsPerSecond' | 'signal'
>

/**
 * Plans what a SOURCE holds, and shows how far it is.
 * @returns null when the signal came
 */
export async function planSource(source: string, settings: Settings, wanted: Wanted): Promise<ExportPlan | null> {
  const [{ planExport }, { discover, inspectExport, sourceAt }] = await Promise.all([
    import('@heapferry/migration'),
    import('@heapferry/sources'),
  ])
  const progress = await progressLine()

  const discovery = await discover(source, s3OptionsOf(settings))
  const { place } = discovery
  try {
    return await planExport(foundExport(source, discovery, await inspectExport(discovery, wanted.mapping)), {
      ...wanted,
      nowMs: Date.now(),
      source: sourceAt(place),
      onProgress: progress.show,
    })
  } finally {
    progress.end()
    place.close()
  }
}

function foundExport(source: string, { notices }: Discovery, inspected: readonly Inspected[]): FoundExport {
  const found = {
    source,
    files: inspected.flatMap((one) => (one.kind === 'inspected' ? one.files : [])),
    faults: inspected.flatMap((one) => {
      if (one.kind === 'inspected') return []
      return [{ file: one.found.path, problem: one.fault.message, hint: one.fault.hint }]
    }),
    notices: [...notices, ...inspected.flatMap((one) => (one.kind === 'inspected' ? one.notices : []))],
  }
  if (found.files.length === 0 && found.faults.length === 0)
    throw new OperatorError(`${source} holds only empty files`, 'Export the tables again with their headers.')
  return found
}

/** One line that is written over again and again; nothing where nobody watches. */
async function progressLine(): Promise<{ show(progress: PlanProgress): void; end(): void }> {
  if (!process.stderr.isTTY) return { show: () => {}, end: () => {} }
  const [{ logUpdateStderr }, { planProgressText }] = await Promise.all([
    import('log-update'),
    import('./plan-text.ts'),
  ])
  return {
    show: (progress) => logUpdateStderr(planProgressText(progress)),
    end: () => logUpdateStderr.clear(),
  }
}
