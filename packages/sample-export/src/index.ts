export { writeBenchCsv } from './write-bench-csv.ts'
export { rejectReasons, type Trap } from './traps.ts'
export { type SampleDumpManifest, type SampleDumpOptions, writeSampleDump } from './write-sample-dump.ts'
export {
  type SampleCases,
  type SampleManifest,
  type SampleOptions,
  type SampleTable,
  writeSampleExport,
} from './write-sample-export.ts'
