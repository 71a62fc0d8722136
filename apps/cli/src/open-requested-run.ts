import { s3OptionsOf, type Settings, warehouseOptionsOf, workStoreOf } from '@heapferry/config'
import { openRun, type Production, type RunRequest } from '@heapferry/producer'

/** Null when the signal came before the run was there: the same command begins it then. */
export async function openRequestedRun(
  request: RunRequest,
  ledger: Parameters<typeof openRun>[1],
  settings: Settings,
  signal: AbortSignal,
): Promise<Production | null> {
  try {
    return await openRun(request, ledger, {
      s3: s3OptionsOf(settings),
      store: workStoreOf(settings),
      warehouse: warehouseOptionsOf(settings),
      signal,
    })
  } catch (error) {
    if (signal.aborted) return null
    throw error
  }
}
