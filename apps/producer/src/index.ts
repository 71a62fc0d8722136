export { type Production, type ProductionWork, openRun, produce } from './produce.ts'
