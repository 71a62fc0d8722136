import { isWarehouse } from '@heapferry/sources'
import { hashSaltFor, loadMapping, type Settings } from '@heapferry/config'
import { type Destination, OperatorError, type RunId } from '@heapferry/domain'
import type { RunRequest } from '@heapferry/producer'
import { paceOf, type ProjectFlags, type TypedPace } from './options.ts'
import { person } from './person.ts'

/** What fixes a run when it is created. */
export interface RunFlags extends ProjectFlags {
  stage?: string
  run?: RunId
  mapping?: string
  includeRecent: boolean
  maxRejected: number
  pace?: TypedPace
}

/** @throws OperatorError when the mapping file has faults, or hashes without a salt */
export function requestOf(
  source: string,
  flags: RunFlags,
  { settings, destination }: { settings: Settings; destination: Destination },
): RunRequest {
  const mapping = loadMapping(flags.mapping)
  assertStageable(source, flags.stage)
  return {
    source,
    stage: flags.stage,
    name: flags.run,
    destination,
    mapping,
    hashSalt: hashSaltFor(mapping, settings),
    includeRecent: flags.includeRecent,
    maxRejectedPercent: flags.maxRejected,
    pace: flags.pace === undefined ? undefined : paceOf(flags.pace),
    by: person(),
  }
}

/** @throws OperatorError unless it is a warehouse that is to write into a bucket */
export function assertStageable(source: string, stage: string | undefined): void {
  if (stage === undefined || isWarehouse(source)) return
  throw new OperatorError(
    `--stage is for warehouses, and ${source} is none`,
    'Start the command without it: files are read where they are.',
  )
}
