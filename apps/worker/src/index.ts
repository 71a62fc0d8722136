export { openSink } from './open-sink.ts'
export { limitsFor } from './run-work.ts'
export { startWorker, type WorkerHandle, type WorkerOptions } from './start-worker.ts'
