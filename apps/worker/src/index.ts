export { openSink } from './open-sink.ts'
export { limitsFor } from './run-work.ts'
export { startWorker } from './start-worker.ts'
export { type Tracing, untraced } from './tracing.ts'
