import {
  type ExportFile,
  type FileLedger,
  type Identities,
  OperatorError,
  phaseOf,
  type ReadRow,
  type RejectedLedger,
  type RowKey,
  type Run,
  type RunLedger,
  type Source,
  type TimeRange,
  type VerifyProgress,
} from '@heapferry/domain'
import { convertersOf } from '../converters.ts'
import { noIdentities } from '../identities/no-identities.ts'
import { type CountedPeople, countPeople } from './count-people.ts'
import { DayMap } from './day-map.ts'
import type { Scratch } from '../scratch.ts'
import { type Recounted, recount, rowsByFile } from './recount.ts'
import { type Merge, sampleMerges } from './sample-merges.ts'
import type { RereadingWork } from './sent-events.ts'

export interface RereadWork {
  ledger: Pick<RunLedger, 'progress'> & Pick<FileLedger, 'files'> & Pick<RejectedLedger, 'rejectedRows' | 'retriedRows'>
  /** The export that the run was made from. */
  source: Pick<Source, 'readAll' | 'sample'>
  identities(): Promise<Identities>
  /** What hashes of the run are keyed with; null where it hashes nothing. */
  hashSalt: string | null
  scratch: Scratch
  signal: AbortSignal
  onProgress?(progress: Extract<VerifyProgress, { kind: 'reading' }>): void
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
  #people: CountedPeople | undefined
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
    const recounted = await this.#unlessUnreadable(() => this.#recounted(files, isWanted))
    for (const [table, days] of recounted ?? [])
      for (const { event, day, value } of days) this.#daysOf(table).set(event, day, value)
  }

  /** The people under each event in these ranges; null where the export cannot be read. */
  async people(ranges: readonly TimeRange[]): Promise<CountedPeople | null> {
    const known = this.#people
    if (known && ranges.every((range) => known.counts.has(range))) return known
    const counted = await this.#unlessUnreadable(() => this.#countedPeople(ranges))
    if (counted) this.#people = counted
    return counted
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
    return recount(
      files,
      (table, event, day) => isWanted(event, day) && this.countsOf(table)?.get(event, day) === undefined,
      { ...(await this.#rereading(files)), otherwise: this.#endedOtherwise(), scratch: this.#work.scratch },
    )
  }

  async #countedPeople(ranges: readonly TimeRange[]): Promise<CountedPeople> {
    const { ledger, scratch } = this.#work
    const { id, mapping } = this.#run
    const files = await ledger.files(id)
    return countPeople(files, ranges, {
      ...(await this.#rereading(files)),
      rejected: await rowsByFile(files, ledger.rejectedRows(id)),
      retried: await rowsByFile(files, ledger.retriedRows(id)),
      scratch,
      anonymous: mapping.anonymous,
    })
  }

  async #rereading(files: readonly ExportFile[]): Promise<RereadingWork> {
    const { ledger, source, identities, hashSalt, signal, onProgress } = this.#work
    const ofPeople = files.some(({ table }) => phaseOf(table.kind) === 'identities')
    const { tables } = await ledger.progress(this.#run.id)
    // Those that were held back are sent by now, if none is left of them.
    const includeRecent = this.#run.includeRecent || tables.every(({ tally }) => !tally.skipped.held_back)
    return {
      source,
      converterFor: convertersOf(
        { ...this.#run, includeRecent },
        ofPeople ? await identities() : noIdentities,
        hashSalt,
      ),
      signal,
      onRows: (table, rows) => onProgress?.({ kind: 'reading', table, rows }),
    }
  }

  async #unlessUnreadable<T>(read: () => Promise<T>): Promise<T | null> {
    try {
      return await read()
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error
      this.#fault ??= error.message
      return null
    }
  }

  async *#endedOtherwise(): AsyncGenerator<RowKey> {
    yield* this.#work.ledger.rejectedRows(this.#run.id)
    yield* this.#work.ledger.retriedRows(this.#run.id)
  }

  async #sampledMerges(): Promise<readonly Merge[] | null> {
    const work = this.#work
    const files = (await work.ledger.files(this.#run.id)).filter(({ table }) => phaseOf(table.kind) === 'identities')
    if (files.length === 0) return []
    return this.#unlessUnreadable(async () => {
      const converterFor = convertersOf(this.#run, await work.identities(), work.hashSalt)
      // Of a sampled row only the byte of its place is true.
      const rejected = new Map(files.map(({ id }) => [id, new Set<number>()]))
      for await (const { file, byte } of work.ledger.rejectedRows(this.#run.id)) rejected.get(file)?.add(byte)
      const isSent = ({ id }: ExportFile, { place }: ReadRow): boolean => !rejected.get(id)?.has(place.byte)
      return sampleMerges(files, { source: work.source, converterFor, isSent })
    })
  }

  #daysOf(table: string): DayMap<Recounted> {
    const known = this.#counts.get(table) ?? new DayMap<Recounted>()
    this.#counts.set(table, known)
    return known
  }
}
