import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { loadMapping } from '@heapferry/config'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'

test('a mapping file may name events, give columns and choose how persons are written', async () => {
  const mapping = await loaded(
    'persons: set_once\ntables:\n  signup_click:\n    event: Signed up\n    columns: [event_id, user_id, time]\n',
  )
  expect(mapping).toEqual({
    persons: 'set_once',
    csv: {},
    json: { undouble: 'auto' },
    tables: { signup_click: { event: 'Signed up', columns: ['event_id', 'user_id', 'time'] } },
  })
})

test('an empty file is the default mapping', async () => {
  expect(await loaded('')).toEqual(loadMapping(undefined))
})

test('every fault of a mapping file is named with its line', async () => {
  const text = 'persons: maybe\ncsv:\n  delimeter: "|"\ntables:\n  a:\n    event: ""\n'
  await expect(loaded(text)).rejects.toThrow(
    /line 1: persons: [^]*line 3: csv: [^]*delimeter[^]*line 6: tables\.a\.event: /,
  )
})

test('text that is no YAML is told with its line', async () => {
  await expect(loaded('tables:\n  a: [1, 2\n')).rejects.toThrow(/line [23]: /)
})

async function loaded(text: string) {
  const file = path.join(await temporaryFolder(), 'heapferry.yaml')
  await writeFile(file, text)
  return loadMapping(file)
}
