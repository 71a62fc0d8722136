import { conversionVersion, OperatorError, Run } from '@heapferry/domain'
import { convertersOf, noIdentities } from '@heapferry/migration'
import { expect, test } from 'vitest'
import { runOf } from '../support/chunk.ts'

test('a run that an earlier version began, whose record says nothing of it, is not gone on with in another way', () => {
  const { conversion, ...record } = runOf('old')
  expect(conversion).toBe(conversionVersion)
  const old = Run.parse(record)
  expect(() => convertersOf(old, noIdentities, null)).toThrow(OperatorError)
  expect(() => convertersOf(old, noIdentities, null)).toThrow(
    'The run old was begun by a version of heapferry that makes other events of some rows',
  )
  expect(convertersOf(runOf('new'), noIdentities, null)).toBeTypeOf('function')
})
