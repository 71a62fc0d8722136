import { chmod, writeFile } from 'node:fs/promises'
import path from 'node:path'
import {
  environmentFor,
  loadSettings,
  shownSettings,
  takeSecretsOutOfEnvironment,
  warehouseOptionsOf,
} from '@heapferry/config'
import { expect, onTestFinished, test, vi } from 'vitest'
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
  expect(bigqueryEndpoint('http://127.0.0.1:9050')).toBe('http://127.0.0.1:9050')
  expect(bigqueryEndpoint('https://bigquery.example.com')).toBe('https://bigquery.example.com')
  for (const text of ['http://bigquery.example.com', 'http://127.0.0.1:x@evil.example', 'ftp://127.0.0.1'])
    expect(() => bigqueryEndpoint(text)).toThrow(/HEAPFERRY_BIGQUERY_ENDPOINT/)
})

test('workers are not told where the credentials of a warehouse are, and nothing of it stays in the environment', () => {
  const files = {
    PGPASSFILE: '/pgpass',
    GOOGLE_APPLICATION_CREDENTIALS: '/key.json',
    SNOWFLAKE_PRIVATE_KEY_FILE: '/key.p8',
    SNOWFLAKE_TOKEN_FILE_PATH: '/token',
  }
  for (const [name, file] of Object.entries(files)) vi.stubEnv(name, file)
  onTestFinished(() => {
    vi.unstubAllEnvs()
  })
  const settings = loadSettings()
  expect(warehouseOptionsOf(settings).bigquery.keyFile).toBe('/key.json')
  takeSecretsOutOfEnvironment()
  const ofWorkers = { ...process.env, ...environmentFor(settings) }
  expect(Object.keys(files).filter((name) => ofWorkers[name] !== undefined)).toEqual([])
})

test('the cluster behind a tunnel is named as AWS names its host, and as nothing else', () => {
  expect(clusterNamed('Heap.abc123.eu-west-1.redshift.amazonaws.com')).toBe(
    'heap.abc123.eu-west-1.redshift.amazonaws.com',
  )
  for (const text of ['heap', 'heap.example.com', 'heap.abc123.eu-west-1.redshift.amazonaws.com:5439'])
    expect(() => clusterNamed(text)).toThrow(/HEAPFERRY_REDSHIFT_CLUSTER: expected the own host name/)
})

function credentialsOf(env: Record<string, string>) {
  return warehouseOptionsOf(loadSettings({}, env)).snowflake.credentials
}

test('a key pair comes before a token, and a token of the environment before one in a file, which is read each time', async () => {
  const folder = await temporaryFolder()
  const [keyFile, tokenFile] = [path.join(folder, 'key'), path.join(folder, 'token')]
  await writeFile(keyFile, 'PEM')
  await writeFile(tokenFile, 'first\n')
  const all = {
    SNOWFLAKE_USER: 'ann',
    SNOWFLAKE_PRIVATE_KEY_FILE: keyFile,
    SNOWFLAKE_TOKEN: 'set',
    SNOWFLAKE_TOKEN_FILE_PATH: tokenFile,
    SNOWFLAKE_AUTHENTICATOR: 'oauth',
  }
  expect(credentialsOf(all)()).toEqual({ kind: 'key', user: 'ann', pem: 'PEM', passphrase: undefined })
  expect(credentialsOf({ ...all, SNOWFLAKE_PRIVATE_KEY_FILE: '' })()).toEqual({
    kind: 'token',
    type: 'OAUTH',
    text: 'set',
  })
  const ofFile = credentialsOf({ SNOWFLAKE_TOKEN_FILE_PATH: tokenFile })
  expect(ofFile()).toEqual({ kind: 'token', type: 'PROGRAMMATIC_ACCESS_TOKEN', text: 'first' })
  await writeFile(tokenFile, 'second')
  expect(ofFile()).toMatchObject({ text: 'second' })
  expect(credentialsOf({ SNOWFLAKE_PRIVATE_KEY_FILE: keyFile })).toThrow('SNOWFLAKE_USER is not set')
  expect(credentialsOf({ ...all, SNOWFLAKE_PRIVATE_KEY_FILE: '/nowhere' })).toThrow(/cannot be read: \/nowhere/)
  expect(credentialsOf({})).toThrow('There is nothing to log in to Snowflake with')
  const refused = () => credentialsOf({ SNOWFLAKE_TOKEN: 's3 cret' })()
  expect(refused).toThrow(/holds blanks/)
  expect(refused).not.toThrow(/s3 cret/)
})

test.each([
  'http://snowflake.example.com',
  'http://10.0.0.1:80',
  'https://ann:s3cret@snowflake.example.com',
  'ftp://127.0.0.1',
])('an endpoint of Snowflake without TLS, or with a login, is refused: %s', (endpoint) => {
  expect(() => loadSettings({}, { HEAPFERRY_SNOWFLAKE_ENDPOINT: endpoint })).toThrow(
    /HEAPFERRY_SNOWFLAKE_ENDPOINT: expected/,
  )
})

test('an endpoint on this machine may do without TLS', () => {
  const endpoints = [
    'http://127.0.0.1:8080',
    'http://localhost',
    'http://[::1]:1',
    'https://acme.privatelink.snowflakecomputing.com',
  ]
  for (const endpoint of endpoints)
    expect(loadSettings({}, { HEAPFERRY_SNOWFLAKE_ENDPOINT: endpoint }).HEAPFERRY_SNOWFLAKE_ENDPOINT).toBe(endpoint)
})

test('tokens and passphrases of Snowflake are in no log and reach no worker', () => {
  const secrets = { SNOWFLAKE_TOKEN: 's3cret', SNOWFLAKE_PRIVATE_KEY_PASSPHRASE: 's3cret' }
  const settings = loadSettings({}, { ...secrets, SNOWFLAKE_PRIVATE_KEY_FILE: '/p' })
  expect(JSON.stringify(shownSettings(settings))).not.toContain('s3cret')
  expect(Object.keys(environmentFor(settings))).not.toContain('SNOWFLAKE_TOKEN')
  expect(Object.values(environmentFor(settings))).not.toContain('s3cret')
})

function clusterNamed(text: string): string | undefined {
  return warehouseOptionsOf(loadSettings({}, { HEAPFERRY_REDSHIFT_CLUSTER: text })).redshift.cluster
}

function bigqueryEndpoint(text: string): string | undefined {
  return warehouseOptionsOf(loadSettings({}, { HEAPFERRY_BIGQUERY_ENDPOINT: text })).bigquery.endpoint
}
