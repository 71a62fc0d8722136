export { cacheFolder, closeHome, homeOf, workStoreOf } from './home.ts'
export { createLogger, type Logger } from './logger.ts'
export { loadMapping } from './mapping-file.ts'
export { editorSchema, mappingSchema } from './mapping-schema.ts'
export {
  environmentFor,
  fingerprintOf,
  hashSaltFor,
  loadSettings,
  openTelemetrySurroundings,
  readKeyFile,
  s3OptionsOf,
  requireDestination,
  requireProject,
  requireQueries,
  type Settings,
  settingsSchema,
  shownSettings,
  takeSecretsOutOfEnvironment,
} from './settings.ts'
export { onceAMinute } from './once-a-minute.ts'
export { warehouseOptionsOf } from './warehouse.ts'
