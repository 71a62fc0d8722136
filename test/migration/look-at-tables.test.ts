import { defaultMapping, type ExportFile, type Source } from '@heapferry/domain'
import { lookAtTables } from '@heapferry/migration'
import { expect, test } from 'vitest'
import { fileOf } from '../support/chunk.ts'
import { until } from '../support/until.ts'

test('of twenty tables sixteen are looked at at once, each in one of its files: far away, most of the time is waiting', async () => {
  const tables = Array.from({ length: 20 }, (_, nth) => `event_${nth}`)
  const files = tables.flatMap((table) => [fileOf(table), fileOf(table)])
  const asked: string[] = []
  let now = 0
  let most = 0
  const source: Pick<Source, 'readAll'> = {
    async *readAll({ table }: ExportFile) {
      asked.push(table.name)
      most = Math.max(most, ++now)
      // Whoever asks for fewer at once waits here for ever, so not for long.
      await until('sixteen are asked for', () => most >= 16, 5000).catch(() => {})
      now--
      yield { columns: ['event_id'], rows: [], next: 1 }
    },
  }
  const looked = await lookAtTables(files, source, defaultMapping)
  expect(looked.files).toHaveLength(40)
  expect(asked.toSorted()).toEqual(tables.toSorted())
  expect(most).toBe(16)
})
