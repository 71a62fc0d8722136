export { type Discovery, discover } from './export/discover.ts'
export { type Inspected, inspectExport, noticesOf } from './export/inspect-export.ts'
export { inspectFile } from './export/inspect-file.ts'
export { tableNameOf } from './export/table-name.ts'
export { openRowsFile } from './formats/csv/open-rows-file.ts'
export { assertGranted, isPausedForGrant, openRunSource, saveGrant } from './granted-source.ts'
export { sourceAt } from './open-source.ts'
export { type ExportPlace, isBucket, openPlace, type S3Options } from './places/open-place.ts'
export { openKeptFiles } from './places/open-kept-files.ts'
export { openWorkStore } from './places/open-work-store.ts'
export { sampleWarehouse } from './warehouse/sample-warehouse.ts'
export {
  discoverStage,
  type LeftOutTable,
  openUnloading,
  stageOf,
  type Unloading,
  type UnloadingTable,
} from './warehouse/unload-tables.ts'
export { isWarehouse, openWarehouse, type Warehouse, type WarehouseOptions } from './warehouse/warehouse.ts'
