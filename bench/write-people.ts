import { createWriteStream } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

/**
 * Two dumps of an environment with so many migrations, as CSV: per ten migrations four identified people, each with one
 * to four ids of before, of which every third has left a row; and two people that nobody knows. One migration in a
 * hundred leads to another former id (a chain), one in a thousand back (a circle), and one in a thousand joins two
 * identified people (a conflict). A fifth of the people come again with the second dump.
 */
export async function writePeople(folder: string, migrations: number): Promise<void> {
  const people = Math.ceil(migrations * 0.4)
  const write = async (file: string, lines: Iterable<string>) => {
    await mkdir(path.dirname(path.join(folder, file)), { recursive: true })
    await pipeline(Readable.from(inBlocks(lines)), createWriteStream(path.join(folder, file)))
  }
  await write('sync_1/users/users.csv', allUsers(people))
  await write('sync_2/users/users.csv', usersAgain(people))
  await write('sync_2/user_migrations/user_migrations.csv', userMigrations(people, migrations))
  await writeManifest(folder, 1, [['users', false]])
  await writeManifest(folder, 2, [
    ['users', true],
    ['user_migrations', false],
  ])
}

const userColumns = 'user_id,identity,joindate'
const joined = '2023-01-02 03:04:05.678'

function* allUsers(people: number): Generator<string> {
  yield userColumns
  for (let person = 0; person < people; person++) {
    yield userRow(person)
    if (person % 2 === 0) yield `${idOf(anonymous, person)},,${joined}`
    for (let former = 0; former < formerIds(person); former++)
      if ((person + former) % 3 === 0) yield `${idOf(former, person)},,${joined}`
  }
}

function* usersAgain(people: number): Generator<string> {
  yield userColumns
  for (let person = 0; person < people; person += 5) yield userRow(person)
}

function userRow(person: number): string {
  return `${idOf(known, person)},person.${person}@example.com,${joined}`
}

function* userMigrations(people: number, migrations: number): Generator<string> {
  yield 'from_user_id,to_user_id,time'
  let rows = 0
  for (let person = 0; rows < migrations; person++) {
    for (let former = 0; former < formerIds(person) && rows < migrations; former++) {
      const from = idOf(former, person)
      rows++
      if (rows % 1000 === 1) yield `${idOf(known, person)},${from},${joined}`
      else if (rows % 1000 === 2) yield `${idOf(known, person)},${idOf(known, (person * 7 + 1) % people)},${joined}`
      else if (rows % 100 === 3 && former > 0) yield `${from},${idOf(former - 1, person)},${joined}`
      else yield `${from},${idOf(known, person)},${joined}`
    }
  }
}

/** One to four, and two and a half on average. */
function formerIds(person: number): number {
  return 1 + (Math.imul(person, 0x9e3779b1) >>> 30)
}

// Former ids have the numbers below.
const known = 4
const anonymous = 5

/** As Heap draws ids: 53 bits, in no order; of each person and number another. */
function idOf(number: number, person: number): number {
  const low = Math.imul(person * 8 + number + 1, 0x9e3779b1) >>> 0
  const high = Math.imul(low ^ (low >>> 15), 0x85ebca6b) >>> 11
  return high * 2 ** 32 + low
}

function* inBlocks(lines: Iterable<string>): Generator<string> {
  let block: string[] = []
  for (const line of lines) {
    block.push(line)
    if (block.length < 5000) continue
    yield `${block.join('\n')}\n`
    block = []
  }
  yield `${block.join('\n')}\n`
}

async function writeManifest(folder: string, dump: number, tables: [name: string, incremental: boolean][]) {
  const listed = tables.map(([name, incremental]) => ({
    name,
    incremental,
    files: [`s3://bench/sync_${dump}/${name}/${name}.csv`],
  }))
  await mkdir(path.join(folder, 'manifests'), { recursive: true })
  await writeFile(path.join(folder, `manifests/sync_${dump}.json`), JSON.stringify({ dump_id: dump, tables: listed }))
}
