import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { createLogger } from '@heapferry/config'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'

test('a log tells names as they are, and no terminal obeys them', async () => {
  const file = path.join(await temporaryFolder(), 'worker.log')
  const table = 'taps\u001b[2J\u009b31m\u202e\n'
  createLogger({ level: 'info', role: 'worker', file }).warn({ err: new Error(table), table }, table)
  const lines = (await readFile(file, 'utf8')).trimEnd()
  expect(lines).not.toMatch(/[\p{Cc}\u202e]/u)
  expect(JSON.parse(lines)).toMatchObject({ table, msg: table, err: { message: table } })
})
