import {
  type ExportFile,
  type FileLedger,
  type Identities,
  OperatorError,
  phaseOf,
  type RejectedLedger,
  type RowKey,
  type Run,
  type RunLedger,
  type Source,
} from '@heapferry/domain'
import { convertersOf } from '../converters.ts'
import { noIdentities } from '../identities/no-identities.ts'
import { DayMap } from './day-map.ts'
import type { Scratch } from './distinct-counter.ts'
import { type Recounted, recount } from './recount.ts'
import { type Merge, sampleMerges } from './sample-merges.ts'

export interface RereadWork {
  ledger: Pick<RunLedger, 'progress'> & Pick<FileLedger, 'files'> & Pick<RejectedLedger, 'rejectedRows' | 'retriedRows'>
  /** The export that the run was made from. */
  source: Pick<Source, 'readAll' | 'sample'>
  identities(): Promise<Identities>
  /** What hashes of the run are keyed with; null where it hashes nothing. */
  hashSalt: string | null
  scratch: Scratch
  signal: AbortSignal
  onProgress?(progress: { doing: 'reading'; table: string; rows: number }): void
}

/**
 * The export of a run, read again for what the ledger does not tell. No row is read for the same question twice, however
 * often somebody looks.
 */
export class RereadExport {
  readonly #run: Run
  readonly #work: RereadWork
  /** By table: of the days that were asked for, what all files of the table have. */
  readonly #counts = new Map<string, DayMap<Recounted>>()
  #merges: readonly Merge[] | null | undefined
  #fault: string | null = null

  constructor(run: Run, work: RereadWork) {
    this.#run = run
    this.#work = work
  }

  /** Why it could not be read; null while that has not happened. */
  get fault(): string | null {
    return this.#fault
  }

  /** Undefined for a table that was never counted. */
  countsOf(table: string): DayMap<Recounted> | undefined {
    return this.#counts.get(table)
  }

  /** Counts what the rows of tables became, for the events and days that are wanted and not counted yet. */
  async count(tables: ReadonlySet<string>, isWanted: (event: string, day: number) => boolean): Promise<void> {
    const files = (await this.#work.ledger.files(this.#run.id)).filter(({ table }) => tables.has(table.name))
    try {
      for (const [table, days] of await this.#recounted(files, isWanted)) {
        for (const { event, day, value } of days) this.#daysOf(table).set(event, day, value)
      }
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error
      this.#fault = error.message
    }
  }

  /** For what was counted and not found: all such rows were sent by retries, and so are not what the export has. */
  hasNone(table: string, event: string, day: number): void {
    if (!this.#daysOf(table).get(event, day)) this.#daysOf(table).set(event, day, { rows: 0, different: 0 })
  }

  /** Some of the merges that were sent; null where the export cannot be read. */
  async merges(): Promise<readonly Merge[] | null> {
    if (this.#merges === undefined) this.#merges = await this.#sampledMerges()
    return this.#merges
  }

  async #recounted(
    files: readonly ExportFile[],
    isWanted: (event: string, day: number) => boolean,
  ): Promise<Map<string, DayMap<Recounted>>> {
    const work = this.#work
    const ofPeople = files.some(({ table }) => phaseOf(table.kind) === 'identities')
    const identities = ofPeople ? await work.identities() : noIdentities
    const { tables } = await work.ledger.progress(this.#run.id)
    // Those that were held back are sent by now, if none is left of them.
    const includeRecent = this.#run.includeRecent || tables.every(({ tally }) => !tally.skipped.held_back)
    return recount(
      files,
      (table, event, day) => isWanted(event, day) && this.countsOf(table)?.get(event, day) === undefined,
      {
        source: work.source,
        converterFor: convertersOf({ ...this.#run, includeRecent }, identities, work.hashSalt),
        otherwise: this.#endedOtherwise(),
        scratch: work.scratch,
        signal: work.signal,
        onRows: (table, rows) => work.onProgress?.({ doing: 'reading', table, rows }),
      },
    )
  }

  async *#endedOtherwise(): AsyncGenerator<RowKey> {
    yield* this.#work.ledger.rejectedRows(this.#run.id)
    yield* this.#work.ledger.retriedRows(this.#run.id)
  }

  async #sampledMerges(): Promise<readonly Merge[] | null> {
    const work = this.#work
    const files = (await work.ledger.files(this.#run.id)).filter(({ table }) => phaseOf(table.kind) === 'identities')
    if (files.length === 0) return []
    try {
      const converterFor = convertersOf(this.#run, await work.identities(), work.hashSalt)
      return await sampleMerges(files, { source: work.source, converterFor })
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error
      this.#fault ??= error.message
      return null
    }
  }

  #daysOf(table: string): DayMap<Recounted> {
    const known = this.#counts.get(table) ?? new DayMap<Recounted>()
    this.#counts.set(table, known)
    return known
  }
}
