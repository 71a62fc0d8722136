export { writeBenchCsv } from './write-bench-csv.ts'
export { rejectReasons } from './traps.ts'
export {
  type SampleManifest,
  type SampleOptions,
  writeSampleExport,
} from './write-sample-export.ts'
