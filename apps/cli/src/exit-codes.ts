/** What a script can tell from a command's end. The README lists them too. */
export const exitCodes = { done: 0, failed: 1, usage: 2, doneWithRejectedRows: 3, stopped: 130 } as const
