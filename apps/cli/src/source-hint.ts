import { OperatorError, SourceChanged } from '@heapferry/domain'

/** Rows that were rejected can also come from a file that a person has mended, so a changed export is not the end. */
export async function withSourceHint<T>(run: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (!(cause instanceof SourceChanged)) throw cause
    throw new OperatorError(
      cause.message,
      `Put the original file back. Rows that \`heapferry rejected ${run} --out rows.csv\` wrote before can be sent without it: heapferry retry ${run} --from rows.csv`,
      { cause },
    )
  }
}
