import type { ExportFile } from '@heapferry/domain'
import { avroFormat } from './avro/avro-format.ts'
import { inspectAvro } from './avro/inspect-avro.ts'
import { csvFormat } from './csv/csv-format.ts'
import { inspectCsv } from './csv/inspect-csv.ts'
import type { FileFormat, Inspect } from './file-format.ts'
import { inspectJson } from './json/inspect-json.ts'
import { jsonFormat } from './json/json-format.ts'
import { inspectParquet } from './parquet/inspect-parquet.ts'
import { parquetFormat } from './parquet/parquet-format.ts'

/** By what a file seems to be. */
export const inspectors = {
  csv: inspectCsv,
  json: inspectJson,
  avro: inspectAvro,
  parquet: inspectParquet,
} satisfies Record<string, Inspect>

/** By what inspecting it has found. Nobody else asks for the kind of a format. */
export function formatOf(file: ExportFile): FileFormat {
  const { format } = file
  switch (format.kind) {
    case 'csv':
      return csvFormat(file, format)
    case 'json_lines':
    case 'json_array':
      return jsonFormat(file, format)
    case 'avro':
      return avroFormat(file)
    case 'parquet':
      return parquetFormat(file)
  }
}
