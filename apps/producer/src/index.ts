export { type Production, openRun, produce, type RunRequest } from './produce.ts'
