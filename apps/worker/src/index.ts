export { identitiesFor } from './identities-for.ts'
export { startWorker, type WorkerHandle, type WorkerOptions } from './start-worker.ts'
