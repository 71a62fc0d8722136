import { defaultMapping, type Mapping, type ReadRow } from '@heapferry/domain'
import { findSessionsIn, noIdentities, openSessions, saveIdentities } from '@heapferry/migration'
import { expect, test } from 'vitest'
import { fileOf, runOf } from '../support/chunk.ts'
import { saved, sceneOf, tableOf } from './sessions-of.ts'

const sessions = tableOf(
  'sessions',
  ['user_id', 'session_id', 'time', 'referrer', 'browser'],
  [
    ['1', '9000000000000001', '2023-01-01 23:50:00', 'https://a.example/', 'Safari 17'],
    ['2', '9000000000000002', '2023-01-01 10:00:00', null, '<NA>'],
  ],
)
const pageviews = tableOf(
  'pageviews',
  ['user_id', 'session_id', 'time', 'domain', 'path', 'title'],
  [
    ['1', '9000000000000001', '2023-01-01 23:50:01', 'www.example.com', '/a', 'A'],
    ['1', '9000000000000001', '2023-01-02 00:10:00', 'www.example.com', '/b', 'B'],
    ['3', '9000000000000003', '2023-01-02 00:10:00', 'www.example.com', '/c', 'C'],
  ],
)
const both = { ...defaultMapping, enrich: ['sessions' as const, 'pages' as const] }

test('workers find of a row what the export has of its session', async () => {
  const scene = await saved([sessions, pageviews])
  const [first, second, third] = await scene.found([
    ['1', '9000000000000001', '2023-01-02 00:20:00'],
    ['2', '9000000000000002', '2023-01-01 10:00:00'],
    ['3', '9000000000000003', '2023-01-02 00:20:00'],
  ])
  expect(first).toMatchObject({ startMs: Date.UTC(2023, 0, 1, 23, 50), isMissing: false, page: null })
  expect(first?.cells).toEqual(expect.arrayContaining(['https://a.example/', 'Safari 17']))
  // An empty cell is no missing column; what stands for nothing is empty.
  expect(second?.cells?.filter((cell) => cell !== null)).toEqual(['', ''])
  expect(third).toMatchObject({ startMs: null, isMissing: true, cells: null })
})

test('with pages, the last pageview before a row is found, and an earlier one than the session tells is its start', async () => {
  const scene = await saved(
    [
      sessions,
      pageviews,
      tableOf('pageviews', pageviews.file.columns, [
        ['2', '9000000000000002', '2023-01-01 09:59:00', 'www.example.com', '/early', null],
      ]),
    ],
    both,
  )
  const found = await scene.found([
    ['1', '9000000000000001', '2023-01-02 00:20:00'],
    ['1', '9000000000000001', '2023-01-02 00:09:59'],
    ['1', '9000000000000001', '2023-01-01 23:50:00'],
    ['2', '9000000000000002', '2023-01-01 10:00:00'],
    ['3', '9000000000000003', '2023-01-02 00:20:00'],
  ])
  expect(found.map((one) => one?.page?.[1] ?? null)).toEqual(['/b', '/a', null, '/early', '/c'])
  expect(found[3]?.startMs).toBe(Date.UTC(2023, 0, 1, 9, 59))
})

test('an export without sessions, a mapping that wants nothing of them and a run of an earlier conversion have no index', async () => {
  for (const scene of [
    await saved([pageviews]),
    await saved([sessions], { ...defaultMapping, enrich: 'none' }),
    await saved([sessions], { ...defaultMapping, enrich: [] }),
    await saved([sessions], undefined, 2),
  ]) {
    expect(await openSessions(scene.run, scene.kept)).toBeNull()
    expect([...scene.stored.keys()].filter((path) => path.includes('/sessions/'))).toEqual([])
  }
})

test('what the mapping drops is not in the index', async () => {
  const mapping: Mapping = { ...defaultMapping, properties: { referrer: 'drop' } }
  const scene = await saved([sessions], mapping)
  const [first] = await scene.found([['1', '9000000000000001', '2023-01-02 00:20:00']])
  expect(first?.cells?.filter((cell) => cell !== null)).toEqual(['Safari 17'])
})

test('a session that is numbered per user is found under all ids of its person', async () => {
  const migrations = tableOf(
    'user_migrations',
    ['from_user_id', 'to_user_id', 'time'],
    [['1', '4', '2023-01-01 00:00:00']],
  )
  const numbered = tableOf('sessions', sessions.file.columns, [['1', '7', '2023-01-01 10:00:00', null, 'Safari 17']])
  const scene = await saved([migrations, numbered])
  const { identities } = scene
  const found = await scene.found([
    ['1', '7', '2023-01-01 10:00:00'],
    ['4', '7', '2023-01-01 10:00:00'],
    ['2', '7', '2023-01-01 10:00:00'],
  ])
  expect(identities.person('1')).toBeDefined()
  expect(found.map((one) => one?.isMissing)).toEqual([false, false, true])
})

test('a row of sessions that is marked as deleted, or cannot be read, is not indexed; one without a time has no start', async () => {
  const columns = [...sessions.file.columns, '_fivetran_deleted']
  const scene = await saved([
    tableOf('sessions', columns, [
      ['1', '9000000000000001', '2023-01-01 10:00:00', null, 'Safari 17', 'true'],
      ['2', '9000000000000002', '1970-01-01 00:00:00', null, 'Safari 17', 'false'],
      ['x', '9000000000000003', '2023-01-01 10:00:00', null, 'Safari 17', 'false'],
    ]),
  ])
  const found = await scene.found(['1', '2', '3'].map((id) => [id, `900000000000000${id}`, '2023-01-01 12:00:00']))
  expect(found.map((one) => [one?.isMissing, one?.startMs])).toEqual([
    [true, null],
    [false, null],
    [true, null],
  ])
})

test('saving again leaves what is there, and makes the same again where it was cleared, lost in part or damaged', async () => {
  const scene = await saved([sessions, pageviews], both)
  const before = new Map(scene.stored)
  const written = scene.written.length
  expect(await scene.save()).toEqual([])
  expect(scene.written.length).toBe(written)

  for (const harm of [
    (paths: string[]) => paths.forEach((path) => scene.stored.delete(path)),
    (paths: string[]) => void scene.stored.delete(paths[0] ?? ''),
    (paths: string[]) => void scene.stored.set(paths[0] ?? '', Buffer.from('cut')),
    () => void scene.stored.set('run/sessions/head', Buffer.from('something else')),
  ]) {
    harm([...scene.stored.keys()].filter((path) => path.startsWith('run/sessions/')))
    expect(await scene.save()).toEqual([
      'Indexed in the work store: 2 sessions and 3 pageviews, so that rows get what is known of theirs.',
    ])
    expect(scene.stored).toEqual(before)
  }
})

test('a producer that is killed while it writes leaves no index, and the next one makes the same', async () => {
  const whole = await saved([sessions, pageviews], both)
  for (let puts = 0; puts < 2; puts++) {
    const scene = sceneOf([sessions, pageviews], both)
    await saveIdentities(scene.run, scene.files, { read: scene.source.readAll, hashSalt: null }, scene.kept)
    let left = puts
    const { put } = scene.kept.store
    const dying = {
      ...scene.kept.store,
      put: (...args: Parameters<typeof put>) => (left-- > 0 ? put(...args) : Promise.reject(new Error('killed'))),
    }
    await expect(scene.save(dying)).rejects.toThrow('killed')
    expect(await openSessions(scene.run, scene.kept)).toBeNull()
    await scene.save()
    expect(scene.stored).toEqual(whole.stored)
    expect(scene.record()).toEqual(whole.record())
  }
})

test('a file of sessions that comes to the export later is refused, one of events is not', async () => {
  const scene = await saved([sessions])
  const more = tableOf('sessions', sessions.file.columns, [])
  await expect(scene.save(scene.kept.store, [...scene.files, more.file])).rejects.toThrow('came to the export after')
  await scene.save(scene.kept.store, [...scene.files, fileOf('signup')])
  const none = await saved([pageviews])
  await expect(none.save(none.kept.store, [...none.files, more.file])).rejects.toThrow('came to the export after')
})

test('a worker that finds no index, or one of other sessions, stops', async () => {
  const scene = await saved([sessions])
  const other = await saved([tableOf('sessions', sessions.file.columns, [])])
  for (const [path, bytes] of other.stored) if (path.includes('/sessions/')) scene.stored.set(path, bytes)
  await expect(openSessions(scene.run, scene.kept)).rejects.toThrow('holds other sessions than those of the run')
  scene.stored.clear()
  await expect(openSessions(scene.run, scene.kept)).rejects.toThrow('The sessions of the run run cannot be read')
})

test('without an index rows are handed on as they come', async () => {
  const rows: ReadRow[] = []
  expect(await findSessionsIn(null, runOf('run'), noIdentities)(rows, { kind: 'event', name: 'a' })).toBe(rows)
})
