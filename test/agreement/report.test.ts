import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Report } from '@heapferry/migration'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { version } from '../../apps/cli/src/version.ts'

const root = path.resolve(import.meta.dirname, '../..')
const file = path.join(root, 'docs/report.schema.json')

test('docs/report.schema.json describes the reports that are written (UPDATE_GOLDEN=1 writes it anew)', () => {
  const schema = z.toJSONSchema(Report)
  if (process.env.UPDATE_GOLDEN === '1') writeFileSync(file, JSON.stringify(schema, null, 2))
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(JSON.parse(JSON.stringify(schema)))
})

test('the version that the command and its reports tell is that of the package', () => {
  expect(version).toBe(JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')).version)
})
