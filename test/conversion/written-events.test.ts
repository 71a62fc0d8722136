import { compileConverter, textHash } from '@heapferry/conversion'
import { conversionVersion, RunId } from '@heapferry/domain'
import { noIdentities } from '@heapferry/migration'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { tries } from '../support/tries.ts'
import { rowsToWrite } from './rows-to-write.ts'

test('what is sent of a row is byte for byte the JSON of its event, whatever rows came before it', () => {
  let events = 0
  fc.assert(
    fc.property(rowsToWrite(8), ({ table, columns, mapping, rows }) => {
      const context = {
        run: RunId.parse('write'),
        conversion: conversionVersion,
        mapping,
        startedAtMs: Date.UTC(2025, 0, 1),
        includeRecent: false,
        identities: noIdentities,
        hash: textHash('a salt'),
      }
      const { write } = compileConverter(table, columns, context)
      const plain = compileConverter(table, columns, context)
      // In another order: nothing of another row can be in both.
      const wanted = rows
        .toReversed()
        .map(({ values, types, session }) => plain(values, types, session))
        .toReversed()
      for (const [index, { values, types, session }] of rows.entries()) {
        const written = write(values, types, session)
        const conversion = wanted[index]
        if (written.kind !== 'event' || conversion?.kind !== 'event') {
          expect(written).toEqual(conversion)
          continue
        }
        const { json, ...head } = written.event
        const { properties: _, ...plainHead } = conversion.event
        expect(json).toBe(JSON.stringify(conversion.event))
        expect(head).toEqual(plainHead)
        events++
      }
    }),
    { numRuns: tries(2000) },
  )
  expect(events).toBeGreaterThan(0)
})
