import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { heapferryHere } from '../support/heapferry-here.ts'
import { linesBelow, makeHeap, sourceOf, unloadByHand } from './heap-in-postgres.ts'
import { startPostgres, type TestPostgres } from './start-postgres.ts'

let postgres: TestPostgres
let folder: string

beforeAll(async () => {
  postgres = await startPostgres()
})
afterAll(() => postgres.close())
beforeEach(async () => {
  folder = await temporaryFolder()
})

async function migrated(from: string, home: string, env: Record<string, string> = {}) {
  const to = path.join(folder, home, 'events')
  const args = ['run', from, '--to', `jsonl:${to}`, '--run', 'r', '--workers', '1', '--no-dashboard']
  const ended = await heapferry(args, {
    env: { HEAPFERRY_HOME: path.join(folder, home), PGPASSWORD: 'any', ...env },
    cwd: folder,
  }).ended
  return { ...ended, lines: ended.code === null ? [] : await linesBelow(to) }
}

describe('a schema with all that is hard to carry', () => {
  beforeAll(() => makeHeap(postgres))

  test('it becomes the same events, byte for byte, as the same tables unloaded by hand to CSV', async () => {
    const tables = ['users', 'user_migrations', 'pageviews', 'clicked_buy', 'nothing_yet']
    await unloadByHand(postgres, path.join(folder, 'csv'), tables)
    const [ours, byHand] = [
      await migrated(sourceOf(postgres), 'ours'),
      await migrated(path.join(folder, 'csv'), 'hand'),
    ]
    expect(ours.stderr).toContain(
      'Not unloaded, as no event is made of them (no user_id and time, or only copies): all_events, big_spenders',
    )
    expect(byHand.lines.length).toBeGreaterThan(3700)
    expect(ours.lines).toEqual(byHand.lines)
  })

  test('plan tells numbers, windows and columns, and leaves nothing behind', async () => {
    const { code, stdout, stderr } = await heapferryHere(['plan', sourceOf(postgres), '--json'], {
      env: { HEAPFERRY_HOME: path.join(folder, 'home'), PGPASSWORD: 'any' },
      cwd: folder,
    })
    expect(stderr).toBe('')
    expect(code).toBe(0)
    const plan = JSON.parse(stdout)
    expect(plan.tables.map(({ table, rows }: { table: string; rows: object }) => [table, rows])).toEqual([
      ['user_migrations', exact(40)],
      ['users', exact(200)],
      ['_sync_info', exact(1)],
      ['clicked_buy', exact(500)],
      ['nothing_yet', exact(0)],
      ['pageviews', exact(4007)],
    ])
    expect(plan.notices).toEqual([
      expect.stringContaining('6 tables with 4748 rows, to be unloaded in 6 windows into about 1 MB'),
      expect.stringContaining('all_events, big_spenders'),
    ])
    const pageviews = plan.tables.find(({ table }: { table: string }) => table === 'pageviews')
    expect(pageviews.columns.map(({ column }: { column: string }) => column)).toContain('plan name')
    expect(pageviews.bytes).toBeGreaterThan(50_000)
    expect(await readdir(folder)).toEqual([])
  })
})

function exact(count: number): object {
  return { count, exact: true }
}
