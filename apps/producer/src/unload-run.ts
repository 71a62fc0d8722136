import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Mapping, OperatorError, type RunId, type RunLedger, type TimelineLedger } from '@heapferry/domain'
import {
  type Discovery,
  type LeftOutTable,
  openPlace,
  openUnloading,
  openWarehouse,
  type S3Options,
  type Unloading,
  type UnloadingTable,
  type WarehouseOptions,
} from '@heapferry/sources'

/** The unloading of one run: its files are the export. */
export interface RunUnloading {
  /** Of the warehouse, without secrets. */
  address: string
  /** What is in files already. */
  discovery: Discovery
  tables(): UnloadingTable[]
  leftOut(): LeftOutTable[]
  /** What comes to the files of the tables that are wanted, while it comes; ends when the signal comes. */
  files(isWanted: (table: string) => boolean, work: UnloadingWork): AsyncGenerator<Discovery>
}

interface StagePlaces {
  /** Of the stage, in the work store. */
  root: string
  /** Into which the warehouse is to write itself: `s3://bucket/prefix`. */
  bucket: string | undefined
}

interface UnloadingWork {
  run: RunId
  by: string
  ledger: Pick<RunLedger, 'setUnloading' | 'holdUnloading' | 'releaseUnloading'> &
    Pick<TimelineLedger, 'record' | 'nowMs'>
  signal: AbortSignal
  onNotice?: ((notice: string) => void) | undefined
}

const sayEveryMs = 2000

/**
 * Goes on with what was unloaded into a place; where nothing was, looks into the warehouse first. Where all is there the
 * warehouse is not asked, and no password is needed.
 * @param signal ends looking into it
 * @throws OperatorError when it cannot be reached, or not be unloaded as it is; an AbortError when the signal comes
 */
export async function openRunUnloading(
  source: string,
  { placesOf, mapping }: { placesOf(address: string): Promise<StagePlaces>; mapping: Mapping },
  { s3, warehouse: options, signal: stopLooking }: { s3: S3Options; warehouse: WarehouseOptions; signal?: AbortSignal },
): Promise<RunUnloading> {
  const looking = await openWarehouse(source, options, { signal: stopLooking })
  const { address } = looking
  const { root, bucket } = await placesOf(address)
  const place = await openPlace(root, s3)
  const unloading = await begun()
  async function begun(): Promise<Unloading> {
    try {
      return await openUnloading(place, {
        warehouse: looking,
        mapping,
        bucket,
        s3,
      })
    } catch (error) {
      place.close()
      throw error
    } finally {
      await looking.close()
    }
  }

  let isTold = false
  return {
    address,
    discovery: { place: unloading.files, files: unloading.sealed(), notices: unloading.stage.notices },
    tables: unloading.tables,
    leftOut: unloading.leftOut,

    async *files(isWanted, { run, by, ledger, signal, onNotice }) {
      if (unloading.isWhole()) return
      const holder = randomUUID()
      if (!(await untilHeld(holder, { run, ledger, signal, onNotice }))) return
      let now = unloading.progress()
      let waiting: string | null = null
      const sinceMs = await ledger.nowMs(run)
      const sinceRows = now.rows
      const say = (): Promise<void> => ledger.setUnloading(run, { ...now, sinceMs, sinceRows, waiting })
      if (!isTold) {
        isTold = true
        const { tables } = unloading.stage
        await ledger.record(run, {
          kind: 'unloading',
          atMs: sinceMs,
          by,
          tables: tables.length,
          rows: now.rows,
          of: now.of,
        })
      }
      await say()
      // What goes wrong with Redis is told by what waits for it between two windows.
      const saying = setInterval(() => {
        void say().catch(() => {})
        void ledger.holdUnloading(run, holder).catch(() => {})
      }, sayEveryMs)
      const warehouse = await openWarehouse(source, options, {
        signal,
        onWait(reason) {
          if (reason !== null && waiting === null)
            onNotice?.(`${address} does not answer (${reason}). It is asked again until it does; nothing is lost.`)
          waiting = reason
        },
      })
      try {
        for await (const { files, told } of unloading.unload(isWanted, {
          warehouse,
          signal,
          async holding() {
            if (await ledger.holdUnloading(run, holder)) return
            throw new OperatorError(
              `Another command unloads ${address} for the run ${run} by now: this one was silent for too long`,
              'Leave it to the other one, or end that and start the same command again.',
            )
          },
          onProgress: (progress) => void (now = progress),
        })) {
          if (told !== null) {
            const { table, rows, notice, unloaded } = told
            await ledger.record(run, {
              kind: 'unloaded',
              atMs: await ledger.nowMs(run),
              table,
              rows,
              ...(notice !== null && { notice }),
              ...(unloaded && { unloaded }),
            })
            if (notice !== null) onNotice?.(notice)
          }
          if (files.length > 0) yield { place: unloading.files, files, notices: [] }
        }
      } finally {
        clearInterval(saying)
        await warehouse.close()
        await ledger.releaseUnloading(run, holder)
      }
      // Also where more is to come: until then nothing is unloaded.
      if (!signal.aborted || unloading.isWhole()) await ledger.setUnloading(run, null)
    },
  }
}

/** Waits while another command unloads for the run, or one that was killed is not forgotten yet. @returns false when the signal came */
async function untilHeld(
  holder: string,
  { run, ledger, signal, onNotice }: Pick<UnloadingWork, 'run' | 'ledger' | 'signal' | 'onNotice'>,
): Promise<boolean> {
  for (let tries = 0; !signal.aborted; tries++) {
    if (await ledger.holdUnloading(run, holder)) return true
    if (tries === 0)
      onNotice?.(
        `Another command unloads the warehouse for the run ${run}, or was killed within the last 10 s: it is waited for.`,
      )
    await sleep(sayEveryMs / 2, undefined, { signal }).catch(() => {})
  }
  return false
}
