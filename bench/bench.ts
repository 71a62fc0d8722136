import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { benchAgainst } from './against.ts'
import { benchDiscovery } from './discovery.ts'
import { benchFirstTouch } from './first-touch.ts'
import { benchFormats } from './formats.ts'
import { benchIdentities } from './identities.ts'
import { benchLargePages } from './large-pages.ts'
import { benchPace } from './pace.ts'
import { benchMillionChunks } from './million-chunks.ts'
import { benchPeople } from './people.ts'
import { benchRedisMemory } from './redis-memory.ts'
import { benchConversion, benchSplitting } from './stages.ts'
import { benchPages, benchRun } from './run.ts'
import { benchSessions } from './sessions.ts'
import { benchTransport } from './transport.ts'

const suites = {
  /** Finding row ends and cutting chunks, as the producer does. */
  splitting: benchSplitting,
  /** From bytes to events, as a worker does, without sending. */
  conversion: benchConversion,
  /** Sending alone, by each transport, to a server that discards. */
  transport: benchTransport,
  /** What a chunk takes in Redis. */
  'redis-memory': benchRedisMemory,
  /** Runs of ten thousand to a million chunks: planning and finishing them, looking at them, and Redis' memory. */
  'million-chunks': benchMillionChunks,
  /** Reading and converting every format, and the memory it takes. */
  formats: benchFormats,
  /** Finding and looking into the files of a dump with ten thousand a table. */
  discovery: benchDiscovery,
  /** Who is who, of ten million migrations. */
  identities: benchIdentities,
  /** The people under each event and month, as `verify` counts them. */
  people: benchPeople,
  /** Putting sessions in order, and asking for those of rows. */
  sessions: benchSessions,
  /** What was first of ten million people. */
  'first-touch': benchFirstTouch,
  /** `heapferry run`, from the file to a server that discards, with its Redis. */
  run: benchRun,
  /** How much of a pace is used where answers take long. */
  pace: benchPace,
  /** The same with nobody and with fifty people who look at its page. */
  pages: benchPages,
  /** Making the pages of a run of 500 tables, 20,000 files and 200 workers. */
  'large-pages': benchLargePages,
}

const { positionals, values } = parseArgs({ allowPositionals: true, options: { against: { type: 'string' } } })
const wanted = positionals.length > 0 ? positionals : Object.keys(suites)

print(
  `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown processor'}, server and Redis on the same machine`,
)
if (values.against !== undefined) for await (const line of benchAgainst(values.against)) print(line)
else await benchAll()

async function benchAll(): Promise<void> {
  for (const [name, suite] of Object.entries(suites)) {
    if (!wanted.includes(name)) continue
    print(`\n## ${name}`)
    for await (const result of await suite())
      print(
        Object.entries(result)
          .map(([what, value]) => `${what} ${typeof value === 'number' ? value.toLocaleString('en-US') : value}`)
          .join(' · '),
      )
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
