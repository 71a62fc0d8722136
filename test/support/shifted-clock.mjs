// Loaded before all else by a process whose clock is to be off: HEAPFERRY_TEST_CLOCK_MS says by how much at its start, and each
// SIGUSR2 sets it back an hour. Timers and performance.now() go on as they do when a person sets the clock of a machine.
let shiftMs = Number(process.env.HEAPFERRY_TEST_CLOCK_MS ?? 0)
process.on('SIGUSR2', () => {
  shiftMs -= 3_600_000
})
const { now } = Date
globalThis.Date = class extends Date {
  constructor(...given) {
    if (given.length === 0) super(now() + shiftMs)
    else super(...given)
  }

  static now() {
    return now() + shiftMs
  }
}
