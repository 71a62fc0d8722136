import { execFile, spawnSync } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'

const root = path.resolve(import.meta.dirname, '../..')
const run = promisify(execFile)
const env = {
  ...process.env,
  POSTHOG_HOST: 'us',
}

const Compose = z.object({
  services: z.record(
    z.string(),
    z.object({ command: z.unknown(), secrets: z.array(z.object({ source: z.string() })).optional() }),
  ),
})

test('docker-compose.yml is valid, and gives the key only to those that send', async ({ skip }) => {
  const command = [['docker', 'compose'], ['docker-compose']].find(
    ([program = '', ...args]) => spawnSync(program, [...args, 'version']).status === 0,
  )
  if (!command) {
    expect(process.env.CI, 'docker compose is missing on CI').toBeUndefined()
    return skip('neither docker compose nor docker-compose is installed')
  }
  const [program = '', ...args] = command
  const { stdout } = await run(
    program,
    [...args, '-f', path.join(root, 'docker-compose.yml'), '--profile', 'rehearsal', 'config'],
    {
      env,
      cwd: root,
    },
  )
  const { services } = Compose.parse(parse(stdout))
  expect(Object.keys(services).toSorted()).toEqual(['dashboard', 'posthog', 'producer', 'redis', 'worker'])
  expect(String(services.redis?.command)).toMatch(/appendonly yes.*noeviction/)
  const withKey = Object.entries(services).filter(([, { secrets = [] }]) =>
    secrets.some(({ source }) => source === 'posthog_api_key'),
  )
  expect(withKey.map(([name]) => name).toSorted()).toEqual(['producer', 'worker'])
})
