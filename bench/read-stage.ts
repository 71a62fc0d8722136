import { conversionOf, endOfRow } from '@heapferry/migration'
import { tell } from './in-own-process.ts'
import { chunksOf, converters, openFile, readChunks, stopwatch } from './read-chunks.ts'

/** As far as it is told a worker's way of a file, in one process, without sending. Also run by older commits' code. */
const [folder = '', stage = ''] = process.argv.slice(2)
const { place, file } = await openFile(folder, 'pageviews.csv')
const chunks = await chunksOf(place, file)
const convertersFor = converters()
let jsonBytes = 0

const read = (of: typeof chunks) =>
  readChunks(place, file, of, (row) => {
    if (stage === 'reading and converting') conversionOf(row, file.table, convertersFor)
    if (stage !== 'reading, converting and JSON') return
    const end = endOfRow(row, file.table, convertersFor)
    if (end.kind === 'event') jsonBytes += end.json.length
  })

// Code that is new to V8 is another question.
await read(chunks.slice(0, 3))
jsonBytes = 0
const spent = stopwatch()
const rows = await read(chunks)
const { seconds, cpuSeconds } = spent()
tell({ rows, seconds, cpuSeconds, jsonBytes })
