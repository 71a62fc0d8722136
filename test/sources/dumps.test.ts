import { expect, test } from 'vitest'
import { chooseDumps, DumpManifest } from '../../packages/sources/src/export/dumps.ts'

/** `full` or `more` of a table in a dump, with so many files. */
type Sent = readonly [table: string, kind: 'full' | 'more', files?: number]

const uri = (dump: number, table: string, file: number) => `s3://heap-rs3-acme/sync_${dump}/${table}/part-${file}.avro`
const fileOf = (dump: number, table: string, file: number) => `sync_${dump}/${table}/part-${file}.avro`

function manifestOf(dump: number, ...sent: Sent[]): DumpManifest {
  const tables = sent.map(([name, kind, files = 1]) => ({
    name,
    incremental: kind === 'more',
    files: Array.from({ length: files }, (_, file) => uri(dump, name, file)),
  }))
  return DumpManifest.parse({ dump_id: dump, tables })
}

/** As if everything that the manifests list were there, and what is added. */
function treeOf(manifests: DumpManifest[], also: string[] = [], without: string[] = []) {
  const listed = manifests.flatMap(({ tables }) => tables.flatMap(({ files }) => files))
  const there = listed.map((name) => name.replace('s3://heap-rs3-acme/', '')).filter((path) => !without.includes(path))
  const names = manifests.map(({ dump_id: dump }) => `manifests/sync_${dump}.json`)
  return { root: '/export', prefix: '', paths: [...there, ...names, ...also] }
}

function chosen(...manifests: DumpManifest[]) {
  const { files, notices } = chooseDumps(manifests, treeOf(manifests))
  return { paths: files.map(({ path }) => path), dumps: files.map(({ dump }) => dump), notices }
}

test('dump 1000 comes after dump 999', () => {
  const { dumps } = chosen(
    manifestOf(1000, ['clicks', 'more']),
    manifestOf(999, ['clicks', 'more']),
    manifestOf(998, ['clicks', 'full']),
  )
  expect(dumps).toEqual([998, 999, 1000])
})

test('a full dump of a table replaces all earlier ones of that table, and of no other', () => {
  const { paths, notices } = chosen(
    manifestOf(1, ['clicks', 'full', 2], ['signup', 'full']),
    manifestOf(2, ['clicks', 'more'], ['signup', 'more']),
    manifestOf(3, ['clicks', 'full'], ['signup', 'more']),
    manifestOf(4, ['clicks', 'more']),
  )
  expect(paths).toEqual([
    fileOf(3, 'clicks', 0),
    fileOf(4, 'clicks', 0),
    fileOf(1, 'signup', 0),
    fileOf(2, 'signup', 0),
    fileOf(3, 'signup', 0),
  ])
  expect(notices).toEqual(['clicks: dump 3 is a full one and replaces 3 files of earlier dumps'])
})

test('a table that a full dump sends without files is empty from then on', () => {
  const { paths, notices } = chosen(manifestOf(1, ['clicks', 'full']), manifestOf(2, ['clicks', 'full', 0]))
  expect(paths).toEqual([])
  expect(notices).toEqual(['clicks: dump 2 is a full one and replaces 1 file of earlier dumps'])
})

test('a table that a dump does not name keeps what it has', () => {
  const { paths } = chosen(manifestOf(1, ['clicks', 'full']), manifestOf(2), manifestOf(3, ['clicks', 'more']))
  expect(paths).toEqual([fileOf(1, 'clicks', 0), fileOf(3, 'clicks', 0)])
})

test('of a table that was never sent in full all dumps count, and the user is told that rows are missing', () => {
  const { paths, notices } = chosen(manifestOf(7, ['clicks', 'more']), manifestOf(8, ['clicks', 'more']))
  expect(paths).toEqual([fileOf(7, 'clicks', 0), fileOf(8, 'clicks', 0)])
  expect(notices).toEqual(['clicks: none of its dumps is a full one, so rows from before dump 7 are not here'])
})

test.each(['full', 'more'] as const)(
  'only the newest user_migrations count, though their manifest may call them %s',
  (kind) => {
    const { paths } = chosen(
      manifestOf(1, ['user_migrations', kind, 2]),
      manifestOf(2, ['user_migrations', kind]),
      manifestOf(3, ['clicks', 'full']),
    )
    expect(paths).toEqual([fileOf(2, 'user_migrations', 0), fileOf(3, 'clicks', 0)])
  },
)

test('a run keeps to the dumps it was planned with, whatever later ones add, replace or lack', () => {
  const planned = [
    manifestOf(998, ['clicks', 'full'], ['users', 'full'], ['user_migrations', 'full']),
    manifestOf(999, ['clicks', 'more'], ['users', 'more'], ['user_migrations', 'full']),
  ]
  const before = chooseDumps(planned, treeOf(planned))
  expect(before.newestDump).toBe(999)
  const later = [
    manifestOf(1000, ['clicks', 'full'], ['users', 'more'], ['user_migrations', 'full'], ['signup', 'full']),
    manifestOf(1001, ['clicks', 'more', 2]),
  ]
  const all = [...planned, ...later]
  const tree = treeOf(all, [], [fileOf(1001, 'clicks', 1)])
  expect(chooseDumps(all, tree, 999)).toEqual({
    ...before,
    notices: [
      ...before.notices,
      'dumps 1000 to 1001 came after this run was planned, left out: migrate the export again in a run of another name (--run NAME), PostHog keeps one of each event',
    ],
  })
})

test('a run whose last dump is gone is told so', () => {
  const manifests = [manifestOf(998, ['clicks', 'full']), manifestOf(1000, ['clicks', 'more'])]
  expect(() => chooseDumps(manifests, treeOf(manifests), 999)).toThrow(
    '/export: the manifest of dump 999, with which this run was planned, is gone',
  )
})

test('ten thousand files of a table are all taken, in the order of the dumps', () => {
  const { paths } = chosen(manifestOf(2, ['clicks', 'more', 10_000]), manifestOf(1, ['clicks', 'full', 10_000]))
  expect(paths).toEqual([1, 2].flatMap((dump) => Array.from({ length: 10_000 }, (_, n) => fileOf(dump, 'clicks', n))))
})

test('files of a replaced dump may be gone', () => {
  const manifests = [manifestOf(1, ['clicks', 'full']), manifestOf(2, ['clicks', 'full'])]
  const tree = treeOf(manifests, [], [fileOf(1, 'clicks', 0)])
  expect(chooseDumps(manifests, tree).files.map(({ path }) => path)).toEqual([fileOf(2, 'clicks', 0)])
})

test('files that count and are missing stop the run, with all tables that miss some', () => {
  const manifests = [manifestOf(1, ['clicks', 'full', 4], ['users', 'full'], ['signup', 'full'])]
  const tree = treeOf(manifests, [], [fileOf(1, 'clicks', 2), fileOf(1, 'users', 0)])
  expect(() => chooseDumps(manifests, tree)).toThrow(
    [
      '/export is not whole',
      `  clicks: the manifest of dump 1 lists 4 files, found 3 (missing ${uri(1, 'clicks', 2)})`,
      `  users: the manifest of dump 1 lists 1 file, found 0 (missing ${uri(1, 'users', 0)})`,
    ].join('\n'),
  )
})

test('a dump without a manifest is not complete: it is left out, and told', () => {
  const manifests = [manifestOf(1, ['clicks', 'full'])]
  const tree = treeOf(manifests, [fileOf(2, 'clicks', 0), fileOf(2, 'users', 0)])
  expect(chooseDumps(manifests, tree)).toEqual({
    files: [{ path: fileOf(1, 'clicks', 0), table: 'clicks', dump: 1 }],
    notices: ['dump 2 is not complete (it has no manifest): 2 files left out'],
    newestDump: 1,
  })
})

test('what no manifest lists is named', () => {
  const manifests = [manifestOf(1, ['clicks', 'full'])]
  const tree = treeOf(manifests, ['sync_1/clicks/part-9.avro', 'property_definitions/sync_1.json', 'users.csv'])
  expect(chooseDumps(manifests, tree).notices).toEqual([
    'dump 1: its manifest does not list sync_1/clicks/part-9.avro, left out',
    'no part of a dump, left out: property_definitions/sync_1.json, users.csv',
  ])
})

test.each([
  ['where Heap wrote it', 's3://heap-rs3-acme', '', 'sync_1/users/a.avro'],
  ['copied to a folder', '/mnt/heap', '', 'sync_1/users/a.avro'],
  ['copied to a folder with the bucket as a folder', '/mnt', 'heap-rs3-acme/', 'heap-rs3-acme/sync_1/users/a.avro'],
  ['copied below a prefix of another bucket', 's3://backup/heap', '', 'sync_1/users/a.avro'],
])('files are found in a tree %s', (_, root, prefix, path) => {
  const manifest = DumpManifest.parse({
    dump_id: 1,
    tables: [{ name: 'users', incremental: false, files: ['s3://heap-rs3-acme/sync_1/users/a.avro'] }],
  })
  expect(chooseDumps([manifest], { root, prefix, paths: [path] }).files).toEqual([{ path, table: 'users', dump: 1 }])
})

test('files are found where Heap wrote them below a prefix', () => {
  const manifest = DumpManifest.parse({
    dump_id: 1,
    tables: [{ name: 'users', files: ['s3://shared/heap/main/sync_1/users/a.avro'], incremental: false }],
  })
  const tree = { root: 's3://shared/heap/main', prefix: '', paths: ['sync_1/users/a.avro'] }
  expect(chooseDumps([manifest], tree).files).toMatchObject([{ path: 'sync_1/users/a.avro' }])
})

test.each(['s3://heap-rs3-acme/../secret', '/etc/passwd', 's3://other/sync_1/../../etc/passwd', '..'])(
  'a manifest that names %s is refused: only what lies in the export is read',
  (file) => {
    const manifest = DumpManifest.parse({ dump_id: 1, tables: [{ name: 'users', files: [file], incremental: false }] })
    expect(() => chooseDumps([manifest], { root: '/export', prefix: '', paths: ['sync_1/users/a.avro'] })).toThrow(
      `found 0 (missing ${file})`,
    )
  },
)

test('a file that two dumps list is read once', () => {
  const files = [uri(1, 'clicks', 0)]
  const [first, second] = [1, 2].map((dump) =>
    DumpManifest.parse({ dump_id: dump, tables: [{ name: 'clicks', incremental: dump > 1, files }] }),
  )
  expect(first && second && chosen(first, second).paths).toEqual([fileOf(1, 'clicks', 0)])
})

test('two manifests of one dump are refused', () => {
  expect(() => chosen(manifestOf(5), manifestOf(4), manifestOf(5))).toThrow('/export has two manifests of dump 5')
})

test('a manifest may write its number as text, leave out what is not needed, and say more than is known', () => {
  const manifest = { dump_id: '0852', more: {}, tables: [{ name: 'users', files: [], columns: null, format: 'avro' }] }
  expect(DumpManifest.parse(manifest)).toEqual({
    dump_id: 852,
    tables: [{ name: 'users', files: [], incremental: true }],
  })
})
