export { discover, type Discovery } from './discover.ts'
export { cutFile, fileReader, inspectFile } from './files.ts'
export { tableNameOf } from './table-name.ts'
