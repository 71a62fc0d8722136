/** What a script can tell from a command's end. The README lists them too. */
export const exitCodes = {
  done: 0,
  failed: 1,
  usage: 2,
  doneWithRejectedRows: 3,
  pending: 4,
  missing: 5,
  surplus: 6,
  stopped: 130,
} as const
