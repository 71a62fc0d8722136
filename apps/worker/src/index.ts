export { openSink } from './open-sink.ts'
export { limitsFor } from './run-work.ts'
export { startWorker } from './start-worker.ts'
