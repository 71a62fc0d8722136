import { chunksOf, converters, openFile, readChunks, stopwatch } from './read-chunks.ts'
import { tell } from './in-own-process.ts'

/** Cuts a file as the producer does, then reads it as a worker does; with `converting` to the events it becomes. */
const [folder = '', name = '', stage] = process.argv.slice(2)
const { place, file } = await openFile(folder, name)
const cutting = stopwatch()
const chunks = await chunksOf(place, file)
const { seconds: cutSeconds } = cutting()
const convertersFor = converters()
let events = 0
const reading = stopwatch()
const rows = await readChunks(place, file, chunks, (row) => {
  if (stage !== 'converting' || row.kind !== 'row') return
  if (convertersFor(file.table, row.columns)(row.values).kind === 'event') events++
})
const { seconds, cpuSeconds } = reading()
if (stage === 'converting' && events !== rows) throw new Error(`${rows - events} of ${rows} rows became no event`)
tell({ rows, seconds, cpuSeconds, cutSeconds, chunks: chunks.length })
