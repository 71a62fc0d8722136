import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'

/** Where Debian puts what PostgreSQL's server is made of, by version. */
export const postgresVersions = '/usr/lib/postgresql'

/** Installs Debian's PostgreSQL, once; somebody who is not root has to do it. */
export default function installPostgres(): void {
  if (existsSync(postgresVersions)) return
  if (process.getuid?.() !== 0)
    throw new Error('PostgreSQL is missing: apt-get install -y --no-install-recommends postgresql')
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  execFileSync('apt-get', ['update', '-qq'], { env, stdio: 'ignore' })
  execFileSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'postgresql'], { env, stdio: 'ignore' })
}
