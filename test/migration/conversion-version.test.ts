import { conversionVersion, OperatorError, Run } from '@heapferry/domain'
import { convertersOf, noIdentities } from '@heapferry/migration'
import { expect, test } from 'vitest'
import { runOf } from '../support/chunk.ts'

test('a run whose rows an earlier version made other events of is refused by whoever would convert some more of them', () => {
  const { conversion: _, ...earlier } = runOf('earlier')
  const run = Run.parse(earlier)
  expect(run.conversion).toBeLessThan(conversionVersion)
  expect(() => convertersOf(run, noIdentities, null)).toThrow(OperatorError)
  expect(() => convertersOf(run, noIdentities, null)).toThrow('begun by a version of heapferry that makes other events')
  expect(convertersOf(runOf('now'), noIdentities, null)).toBeTypeOf('function')
})
