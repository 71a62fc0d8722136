export { startWorker, type WorkerHandle, type WorkerOptions } from './start-worker.ts'
