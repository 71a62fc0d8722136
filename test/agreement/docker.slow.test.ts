import { execFile, spawnSync } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'

const root = path.resolve(import.meta.dirname, '../..')
const run = promisify(execFile)
const apiKey = 'phc_compiled000000000000000000000000000000000'
const env = {
  ...process.env,
  POSTHOG_HOST: 'us',
  POSTHOG_API_KEY: apiKey,
  HEAPFERRY_DASHBOARD_PASSWORD: 'twelve letters',
  REDIS_PASSWORD: 'of its Redis',
}

const Compose = z.object({
  services: z.record(
    z.string(),
    z.object({ command: z.unknown(), environment: z.record(z.string(), z.unknown()).optional() }),
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
  const { stdout } = await run(program, [...args, '-f', path.join(root, 'docker-compose.yml'), 'config'], {
    env,
    cwd: root,
  })
  const { services } = Compose.parse(parse(stdout))
  expect(Object.keys(services).toSorted()).toEqual(['dashboard', 'producer', 'redis', 'worker'])
  expect(String(services.redis?.command)).toMatch(/appendonly yes.*noeviction/)
  const withKey = Object.entries(services).filter(([, { environment }]) =>
    JSON.stringify(environment ?? {}).includes(apiKey),
  )
  expect(withKey.map(([name]) => name).toSorted()).toEqual(['producer', 'worker'])
})
