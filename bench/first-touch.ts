import { createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { inOwnProcess } from './in-own-process.ts'

/** People with an identity each, and their sessions in no order; nine of ten sessions have a place. */
export async function* benchFirstTouch(): AsyncGenerator<Record<string, string | number>> {
  for (const { people, each } of [
    { people: 1_000_000, each: 3 },
    { people: 10_000_000, each: 1 },
  ]) {
    const folder = await mkdtemp(path.join(tmpdir(), 'heapferry-bench-'))
    const [source, store] = [path.join(folder, 'export'), path.join(folder, 'store')]
    try {
      await mkdir(source)
      await write(path.join(source, 'users.csv'), users(people))
      await write(path.join(source, 'sessions.csv'), sessions(people, each))
      const { peakMb, result } = await inOwnProcess('find-touches.ts', [source, store, String(people * each)])
      yield { people, ...result, 'peak MB': peakMb }
    } finally {
      await rm(folder, { recursive: true })
    }
  }
}

async function write(file: string, lines: Iterable<string>): Promise<void> {
  await pipeline(Readable.from(lines), createWriteStream(file))
}

const rowsAtOnce = 1000

function* users(people: number): Generator<string> {
  yield 'user_id,identity,joindate\n'
  for (let from = 0; from < people; from += rowsAtOnce) {
    let block = ''
    for (let person = from; person < from + rowsAtOnce; person++)
      block += `${idOf(person)},person.${person}@example.com,2023-01-02 03:04:05.678\n`
    yield block
  }
}

function* sessions(people: number, each: number): Generator<string> {
  yield 'user_id,session_id,time,library,platform,browser,device_type,country,region,city,referrer,landing_page,landing_page_query,utm_source\n'
  // Prime to any number of people that is tried: everybody comes as often as all others, at any time.
  const step = 7_368_787
  for (let from = 0; from < people * each; from += rowsAtOnce) {
    let block = ''
    for (let row = from; row < from + rowsAtOnce; row++) {
      const time = new Date(Date.UTC(2023, 0, 1) + ((row * 48_271) % 31_536_000) * 1000).toISOString()
      const place = row % 10 === 0 ? ',,' : `Germany,Region ${row % 16},City ${row % 5000}`
      block += `${idOf((row * step) % people)},${idOf(row)},${time.slice(0, 19).replace('T', ' ')},web,Mac OS X 10.15.7,Chrome 120.0.0,Desktop,${place},https://www.example.org/,www.example.com/page-${row % 1000},?gclid=${row},ads\n`
    }
    yield block
  }
}

/** Spread over [0, 2^53) as Heap draws them. */
function idOf(number: number): bigint {
  return (BigInt(number) * 6_364_136_223_846_793n + 1_442_695_040_888_963n) % 9_007_199_254_740_881n
}
