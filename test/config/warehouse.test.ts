import { chmod, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { environmentFor, loadSettings, shownSettings, warehouseOptionsOf } from '@heapferry/config'
import { expect, test, vi } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'

const login = { host: 'cluster.example.com', port: 5439, database: 'heap', user: 'ann' }

async function passwordIn(lines: string, mode = 0o600): Promise<string> {
  const file = path.join(await temporaryFolder(), 'pgpass')
  await writeFile(file, lines)
  await chmod(file, mode)
  return warehouseOptionsOf(loadSettings({}, { PGPASSFILE: file })).passwordFor(login)
}

test.each([
  ['a whole line', 'cluster.example.com:5439:heap:ann:s3cret'],
  ['stars', '*:*:*:ann:s3cret'],
  ['the first line that fits', '# s\n*:1:*:*:no\n*:*:*:ann:s3cret\n*:*:*:*:later'],
])('the password of a file is that of %s', async (_, lines) => {
  expect(await passwordIn(`${lines}\n`)).toBe('s3cret')
})

test('colons and backslashes of a password are escaped, or stand at the end as they are', async () => {
  expect(await passwordIn(String.raw`*:*:*:*:a\:b\\c`)).toBe(String.raw`a:b\c`)
  expect(await passwordIn('*:*:*:*:a:b:c')).toBe('a:b:c')
})

test('a file that others may read is refused, and so is one without the user', async () => {
  await expect(passwordIn('*:*:*:*:s3cret', 0o640)).rejects.toThrow(/^Others may read the passwords in /)
  await expect(passwordIn('*:*:*:bob:s3cret')).rejects.toMatchObject({
    message: 'There is no password of ann for cluster.example.com',
    hint: expect.stringContaining('cluster.example.com:5439:heap:ann:PASSWORD'),
  })
})

test('without PGPASSFILE it is ~/.pgpass, and PGPASSWORD comes before both', async () => {
  const home = await temporaryFolder()
  await writeFile(path.join(home, '.pgpass'), '*:*:*:*:of-home', { mode: 0o600 })
  vi.stubEnv('HOME', home)
  expect(warehouseOptionsOf(loadSettings({}, {})).passwordFor(login)).toBe('of-home')
  expect(warehouseOptionsOf(loadSettings({}, { PGPASSWORD: 'set' })).passwordFor(login)).toBe('set')
  vi.unstubAllEnvs()
})

test('the password is in no log and reaches no worker', () => {
  const settings = loadSettings({}, { PGPASSWORD: 's3cret', PGPASSFILE: '/p' })
  expect(JSON.stringify(shownSettings(settings))).not.toContain('s3cret')
  expect(Object.keys(environmentFor(settings))).not.toContain('PGPASSWORD')
})

test('BigQuery is reached without TLS on this machine alone', () => {
  expect(endpoint('http://127.0.0.1:9050')).toBe('http://127.0.0.1:9050')
  expect(endpoint('https://bigquery.example.com')).toBe('https://bigquery.example.com')
  for (const text of ['http://bigquery.example.com', 'http://127.0.0.1:x@evil.example', 'ftp://127.0.0.1'])
    expect(() => endpoint(text)).toThrow(/HEAPFERRY_BIGQUERY_ENDPOINT/)
})

test('workers are not told where the credentials of Google are', () => {
  const settings = loadSettings({}, { GOOGLE_APPLICATION_CREDENTIALS: '/key.json' })
  expect(warehouseOptionsOf(settings).bigquery.keyFile).toBe('/key.json')
  expect(Object.keys(environmentFor(settings))).not.toContain('GOOGLE_APPLICATION_CREDENTIALS')
})

function endpoint(text: string): string | undefined {
  return warehouseOptionsOf(loadSettings({}, { HEAPFERRY_BIGQUERY_ENDPOINT: text })).bigquery.endpoint
}
