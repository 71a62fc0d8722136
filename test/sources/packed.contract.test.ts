import fc from 'fast-check'
import { awsForTests } from '../support/aws-for-tests.ts'
import { startS3StandIn } from '../support/s3-stand-in.ts'
import { bucketOf } from './bucket-contract.ts'
import { compressions, packers } from './packers.ts'
import { avroRows, csv, json, jsonArray, jsonLines, nullFirst, writerOf } from './row-files.ts'
import { sourceContract } from './source-contract.ts'

awsForTests()
const inBucket = bucketOf(() => startS3StandIn())

const hard = fc.constantFrom('\n', '\r\n', '"', '\\', '},{', ']', ',', 'é', '😀', 'a', ' ', 'x'.repeat(50))
const cell = fc.option(
  fc.array(hard, { minLength: 1, maxLength: 6 }).map((parts) => parts.join('')),
  { nil: null },
)

const formats = [
  { format: 'CSV', fileName: 'clicks.csv', make: csv() },
  { format: 'JSON lines', fileName: 'clicks.jsonl', make: json(jsonLines) },
  { format: 'a JSON array', fileName: 'clicks.json', make: json(jsonArray) },
  { format: 'Avro', fileName: 'clicks.avro', make: avroRows({ codec: 'snappy', text: nullFirst }) },
]
const endings = { gzip: 'gz', zstd: 'zst', bzip2: 'bz2' }

// What is packed is told by the bytes, a place hands out bytes, and formats read the unpacked ones. Each of these is tried
// often elsewhere; here every combination a few times.
for (const { format, fileName, make } of formats) {
  for (const compression of compressions) {
    const packed = {
      fileName: `${fileName}.${endings[compression]}`,
      cell,
      write: writerOf(make, packers[compression]),
    }
    sourceContract(`${format} inside of ${compression}`, { ...packed, runs: 12 })
    sourceContract(`${format} inside of ${compression}, in a bucket`, inBucket({ ...packed, runs: 4 }))
  }
  if (format !== 'CSV')
    sourceContract(`${format} in a bucket`, inBucket({ fileName, cell, write: writerOf(make), runs: 6 }))
}
