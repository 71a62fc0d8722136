export { type Production, openRun, produce } from './produce.ts'
