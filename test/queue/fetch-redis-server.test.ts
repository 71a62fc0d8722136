import { mkdir, readdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { OperatorError } from '@heapferry/domain'
import { fetchRedisServer } from '@heapferry/queue'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'

let programs: string
let folder: string

/** With a PATH of its own, so that what is installed here plays no part. */
beforeEach(async () => {
  const root = await temporaryFolder()
  folder = path.join(root, 'fetched')
  programs = path.join(root, 'programs')
  await mkdir(programs)
  vi.stubEnv('PATH', programs)
})

afterEach(() => vi.unstubAllEnvs())

async function addProgram(name: string, script: string): Promise<void> {
  await writeFile(path.join(programs, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
}

test('without a way to get a Redis it says how to install one', async () => {
  const fault = await fetchRedisServer(folder, () => {}).catch((error: unknown) => error)
  expect(fault).toBeInstanceOf(OperatorError)
  expect(fault).toMatchObject({
    message: 'Redis is missing',
    hint: expect.stringMatching(
      /repeat:\n {2}Debian, Ubuntu {2}apt-get install redis-server\n {2}Fedora[^]*dnf install valkey[^]*apk add[^]*brew install[^]*REDIS_URL/,
    ),
  })
})

test('what apt-get said is shown when it fails, and nothing half done stays', async () => {
  await addProgram('apt-get', '[ "$1" = --version ] || { echo "Could not resolve deb.example"; exit 100; }')
  await addProgram('dpkg-deb', 'exit 0')
  const said: string[] = []
  const fault = await fetchRedisServer(folder, (line) => said.push(line)).catch((error: unknown) => error)
  expect(fault).toMatchObject({
    message: expect.stringContaining('Could not resolve deb.example'),
    hint: expect.stringContaining('REDIS_URL'),
  })
  expect(said).toEqual([expect.stringContaining(`fetching Debian's redis-server into ${folder}`)])
  expect(await readdir(folder, { recursive: true })).toEqual(['bin'])
})
