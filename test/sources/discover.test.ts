import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { type Columns, defaultMapping, type ReadRow } from '@heapferry/domain'
import { discover, type Discovery, inspectExport, type S3Options, sourceAt } from '@heapferry/sources'
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { noS3 } from '../support/place.ts'
import { type SampleDumpManifest, writeSampleDump } from '../support/sample-dump.ts'
import { startS3StandIn } from '../support/s3-stand-in.ts'

vi.stubEnv('AWS_ACCESS_KEY_ID', 'test')
vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'test')
vi.stubEnv('AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED', 'true')

/** A folder, or the same in a bucket, with these files; a source is named by what stands behind its root. */
const worlds = {
  folder: async (names: readonly string[]) => {
    const root = path.join(await temporaryFolder(), 'acme')
    for (const name of names) {
      await mkdir(path.dirname(path.join(root, name)), { recursive: true })
      await writeFile(path.join(root, name), 'x')
    }
    return { root, s3: noS3 }
  },
  bucket: async (names: readonly string[]) => {
    const { root, s3, put } = await emptyBucket()
    for (const name of names) await put(name, 'x')
    return { root, s3 }
  },
}

async function emptyBucket() {
  const store = await startS3StandIn()
  onTestFinished(() => store.close())
  const s3: S3Options = { endpoint: store.endpoint, pathStyle: true, requesterPays: false }
  return { root: 's3://acme', s3, put: store.put }
}

async function tablesIn(source: string, s3: S3Options) {
  const { place, files } = await discover(source, s3)
  place.close()
  return Object.fromEntries(files.map((file) => [file.path, file.table]))
}

describe.each(['folder', 'bucket'] as const)('in a %s', (world) => {
  test.each([
    ['everything below', '', { 'a/users.csv': 'users', 'b/c/clicks.csv.gz': 'clicks', 'b/c/d.tsv': 'd' }],
    ['what lies below a prefix', '/b', { 'c/clicks.csv.gz': 'clicks', 'c/d.tsv': 'd' }],
    ['a prefix with a slash', '/b/c/', { 'clicks.csv.gz': 'clicks', 'd.tsv': 'd' }],
    ['a file', '/b/c/clicks.csv.gz', { 'clicks.csv.gz': 'clicks' }],
  ])('a source is %s', async (_, below, tables) => {
    const { root, s3 } = await worlds[world](['a/users.csv', 'b/c/clicks.csv.gz', 'b/c/d.tsv'])
    expect(await tablesIn(root + below, s3)).toEqual(tables)
  })

  test.each([
    ['/b/*.csv', ['x.csv', 'y.csv']],
    ['/b/{x,z}.{csv,tsv}', ['x.csv', 'z.tsv']],
    ['/b/?.csv', ['x.csv', 'y.csv']],
    ['/b/[xz].*', ['x.csv', 'z.tsv']],
    ['/**/*.tsv', ['b/c/z.tsv', 'b/z.tsv']],
  ])('the glob %s takes what it matches, and no folder in between unless it says so', async (glob, files) => {
    const { root, s3 } = await worlds[world](['a.csv', 'b/x.csv', 'b/y.csv', 'b/z.tsv', 'b/c/x.csv', 'b/c/z.tsv'])
    const found = await discover(root + glob, s3)
    found.place.close()
    const all = found.files.map((file) => `${found.place.root}/${file.path}`)
    const base = glob.startsWith('/**') ? root : `${root}/b`
    expect(all).toEqual(files.map((file) => `${base}/${file}`))
  })

  test('a name with the signs of a glob is taken as it stands', async () => {
    const { root, s3 } = await worlds[world](['heap (old) [1]/users.csv'])
    expect(await tablesIn(`${root}/heap (old) [1]`, s3)).toEqual({ 'users.csv': 'users' })
    expect(await tablesIn(`${root}/heap (old) [1]/users.csv`, s3)).toEqual({ 'users.csv': 'users' })
  })

  test('a glob that could take for ever to match is refused before anything is matched', async () => {
    const { root, s3 } = await worlds[world]([`${'a'.repeat(200)}.csv`])
    await expect(discover(`${root}/*a*a*a*a*b`, s3)).rejects.toThrow('more than three *')
    await expect(discover(`${root}/*a*a*b`, s3)).rejects.toThrow('matches no file')
  })

  test('nothing, and no match, are told', async () => {
    const { root, s3 } = await worlds[world](['users.csv'])
    await expect(discover(`${root}/nothing`, s3)).rejects.toThrow(`${root}/nothing`)
    await expect(discover(`${root}/*.tsv`, s3)).rejects.toThrow(`${root}/*.tsv matches no file`)
  })

  test('what a writer leaves beside the data is left out and told', async () => {
    const { root, s3 } = await worlds[world]([
      'pageviews/_SUCCESS',
      'pageviews/part-00000.parquet',
      'pageviews/_temporary/0/part-00000.parquet',
      'pageviews0000_part_00',
      'pageviewsmanifest',
      'pageviews_$folder$',
    ])
    const { files, notices, place } = await discover(root, s3)
    place.close()
    expect(files.map((file) => file.path)).toEqual(['pageviews/part-00000.parquet', 'pageviews0000_part_00'])
    expect(notices).toHaveLength(4)
    for (const left of ['_SUCCESS', '_temporary/0/part-00000.parquet', 'pageviewsmanifest', 'pageviews_$folder$']) {
      expect(notices.join('\n')).toContain(`${left} is not a table by its name and is left out`)
    }
  })

  test('of many notes some are named and all are counted', async () => {
    const checksums = Array.from({ length: 50 }, (_, index) => `part-${index}.crc`)
    const { root, s3 } = await worlds[world](['users.csv', ...checksums])
    const { notices, place } = await discover(root, s3)
    place.close()
    expect(notices).toHaveLength(21)
    expect(notices.at(-1)).toBe('30 more files are not tables by their names and are left out')
  })

  test('a Delta table is refused: its files hold rows that are no more', async () => {
    const { root, s3 } = await worlds[world](['pageviews/part-00000.parquet', 'pageviews/_delta_log/0000.json'])
    await expect(discover(root, s3)).rejects.toThrow(`${root} holds a Delta table (pageviews/_delta_log)`)
  })

  test('shards without a name are of the table that the source is named for', async () => {
    const { root, s3 } = await worlds[world](['signup/data_0_0_0.csv.gz', 'signup/data_0_1_0.csv.gz'])
    expect(await tablesIn(`${root}/signup`, s3)).toEqual({
      'data_0_0_0.csv.gz': 'signup',
      'data_0_1_0.csv.gz': 'signup',
    })
  })

  test('numbers at the end of a name are a shard where the first shard lies beside it', async () => {
    const names = [
      'signup_0_0_0.csv.gz',
      'signup_0_1_0.csv.gz',
      'release_1_2_3.csv.gz',
      'promo_1000.csv',
      'click000',
      'click001',
      'error404.csv',
    ]
    const { root, s3 } = await worlds[world](names)
    expect(await tablesIn(root, s3)).toEqual({
      'signup_0_0_0.csv.gz': 'signup',
      'signup_0_1_0.csv.gz': 'signup',
      'release_1_2_3.csv.gz': 'release_1_2_3',
      'promo_1000.csv': 'promo_1000',
      click000: 'click',
      click001: 'click',
      'error404.csv': 'error404',
    })
  })
})

test('an address without a bucket is refused', async () => {
  await expect(discover('s3://', noS3)).rejects.toThrow('s3:// is no address in S3')
  await expect(discover('gs://', noS3)).rejects.toThrow('gs:// is no address in Google Cloud Storage')
})

test('a file of this machine is not taken from S3, whatever it is called', async () => {
  const { root } = await worlds.folder(['s3:/users.csv'])
  expect(await tablesIn(root, noS3)).toEqual({ 's3:/users.csv': 'users' })
})

describe('an export of Heap Connect for S3', () => {
  let folder: string
  let written: SampleDumpManifest

  beforeEach(async () => {
    folder = path.join(await temporaryFolder(), 'heap-rs3-example')
    written = await writeSampleDump({ folder, seed: 5, people: 40, visits: 30 })
  })

  test('is read from the files that count, whatever they are packed with, with nothing of replaced or open dumps', async () => {
    const tables = await tablesOf(await discover(folder, noS3))
    expect(Object.fromEntries([...tables].map(([name, rows]) => [name, rows.length]))).toEqual(
      Object.fromEntries(Object.entries(written.tables).map(([name, { rows }]) => [name, rows])),
    )
    const eventIds = new Set([...tables.values()].flat().map((row) => row.get('event_id')))
    expect(written.leftOutEventIds.length).toBeGreaterThan(100)
    expect(written.leftOutEventIds.filter((id) => eventIds.has(id))).toEqual([])
    expect(tables.get('user_migrations')?.map((row) => [row.get('from_user_id'), row.get('to_user_id')])).toEqual(
      written.migrations,
    )
  })

  test('keeps ids beyond 2^53, and columns that only newer dumps have', async () => {
    const tables = await tablesOf(await discover(folder, noS3))
    const ofWide = (table: string) => tables.get(table)?.filter((row) => row.get('user_id') === written.wideId).length
    expect(ofWide('users')).toBeGreaterThan(1)
    expect(ofWide('pageviews')).toBeGreaterThan(1)
    const tiers = tables.get('pageviews')?.map((row) => row.get('loyalty_tier'))
    expect(new Set(tiers)).toEqual(new Set([undefined, 'gold']))
  })

  test('tells people of newer dumps from those of older ones', async () => {
    const { place, files } = await discover(folder, noS3)
    const inspected = await inspectExport({ place, files, notices: [] }, defaultMapping)
    const users = inspected
      .flatMap((one) => (one.kind === 'inspected' ? one.files : []))
      .filter(({ table }) => table.kind === 'users')
    const dumps = users.map(({ table }) => (table.kind === 'users' ? table.dump : undefined))
    expect([...new Set(dumps)]).toEqual([998, 999, 1000])
  })

  test('tells what is left out and why', async () => {
    expect((await discover(folder, noS3)).notices).toEqual([
      expect.stringMatching(/^user_migrations: dump 1000 is a full one and replaces 6 files of earlier dumps$/),
      'core_events_click_any_element: none of its dumps is a full one, so rows from before dump 998 are not here',
      'signup_click_start_free_trial: dump 1000 is a full one and replaces 3 files of earlier dumps',
      'dump 1001 is not complete (it has no manifest): 18 files left out',
      'no part of a dump, left out: property_definitions/sync_1000.json, property_definitions/sync_998.json, property_definitions/sync_999.json',
    ])
  })

  test('is the same in a bucket, below a prefix, and one folder further up', async () => {
    const expected = (await discover(folder, noS3)).files
    const { root, s3, put } = await emptyBucket()
    for (const file of await readdir(folder, { recursive: true, withFileTypes: true })) {
      if (!file.isFile()) continue
      const full = path.join(file.parentPath, file.name)
      await put(`backup/heap/${path.relative(folder, full)}`, await readFile(full))
    }
    expect((await discover(`${root}/backup/heap`, s3)).files).toEqual(expected)
    const further = expected.map((file) => ({ ...file, path: `heap-rs3-example/${file.path}` }))
    expect((await discover(path.dirname(folder), noS3)).files).toEqual(further)
    const inBucket = await tablesOf(await discover(`${root}/backup`, s3))
    expect(inBucket).toEqual(await tablesOf(await discover(folder, noS3)))
  })

  test('of two environments is refused: their ids must not meet', async () => {
    await cp(folder, path.join(path.dirname(folder), 'other'), { recursive: true })
    await expect(discover(path.dirname(folder), noS3)).rejects.toThrow(
      'holds 2 exports of Heap Connect: heap-rs3-example/, other/',
    )
  })

  test('without manifests is refused, but a single dump of it is read as it is', async () => {
    await rename(path.join(folder, 'manifests'), path.join(path.dirname(folder), 'manifests'))
    await expect(discover(folder, noS3)).rejects.toThrow(
      'holds dumps of Heap Connect without their manifests: sync_1000',
    )
    const { files } = await discover(path.join(folder, 'sync_999'), noS3)
    expect(new Set(files.map(({ table }) => table))).toEqual(
      new Set(['core_events_click_any_element', 'pageviews', 'sessions', 'user_migrations', 'users']),
    )
  })

  test('with a missing file is refused', async () => {
    await rm(path.join(folder, written.tables['pageviews']?.files[4] ?? ''))
    await expect(discover(folder, noS3)).rejects.toThrow(
      /is not whole\n {2}pageviews: the manifest of dump 999 lists 3 files, found 2 \(missing s3:/,
    )
  })

  test.each(['{', '[]', '{"dump_id": -1, "tables": []}', '{"dump_id": 1}'])(
    'with a manifest that says %s is refused by name',
    async (text) => {
      await writeFile(path.join(folder, 'manifests/sync_999.json'), text)
      await expect(discover(folder, noS3)).rejects.toThrow('manifests/sync_999.json is no manifest of a dump: ')
    },
  )
})

/** Rows by table, in order. */
async function tablesOf(discovery: Discovery): Promise<Map<string, Map<string, string>[]>> {
  const tables = new Map<string, Map<string, string>[]>()
  for (const one of await inspectExport(discovery, defaultMapping)) {
    if (one.kind === 'faulty') throw one.fault
    for (const file of one.files) {
      const rows = tables.get(file.table.name) ?? []
      tables.set(file.table.name, rows)
      for await (const slice of sourceAt(discovery.place).readAll(file, { rows: 1000, bytes: 1_000_000 })) {
        for (const row of slice.rows) rows.push(cellsOf(row))
      }
    }
  }
  discovery.place.close()
  return tables
}

function cellsOf(row: ReadRow): Map<string, string> {
  if (row.kind === 'unreadable') throw new Error(row.detail)
  const columns: Columns = row.columns
  return new Map(
    columns.flatMap((column, index) => {
      const value = row.values[index] ?? null
      return value === null ? [] : [[column, value]]
    }),
  )
}
