export { homeOf } from './home.ts'
export { createLogger, type Logger } from './logger.ts'
export { loadMapping } from './mapping-file.ts'
export {
  environmentFor,
  loadSettings,
  readKeyFile,
  requireProject,
  type SettingName,
  type Settings,
  settingsSchema,
  shownSettings,
  takeSecretsOutOfEnvironment,
} from './settings.ts'
