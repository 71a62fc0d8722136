import { readFileSync } from 'node:fs'
import path from 'node:path'
import { parseEnv } from 'node:util'
import { loadSettings, settingsSchema } from '@heapferry/config'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'

const example = readFileSync(path.resolve(import.meta.dirname, '../../.env.example'), 'utf8')
const compose = readFileSync(path.resolve(import.meta.dirname, '../../docker-compose.yml'), 'utf8')
const names = Object.keys(settingsSchema.shape)

test('.env.example lists every setting, and only settings', () => {
  expect(Object.keys(parseEnv(example)).toSorted()).toEqual(names.toSorted())
})

test('.env.example shows the defaults', async () => {
  const defaults = loadSettings({}, {}, await temporaryFolder())
  const copied = loadSettings({}, parseEnv(example), await temporaryFolder())
  expect({ ...copied, HEAPFERRY_HOME: '' }).toEqual({ ...defaults, HEAPFERRY_HOME: '' })
})

test('every setting of .env.example is explained by a comment above it', () => {
  for (const name of names) expect(example).toMatch(new RegExp(`^# .*\\n${name}=`, 'm'))
})

test('docker-compose.yml sets nothing that heapferry does not know', () => {
  const set = [...compose.matchAll(/^\s+((?:HEAPFERRY|POSTHOG|REDIS)_\w+): /gm)].map(([, name]) => name)
  expect(set.length).toBeGreaterThan(6)
  expect(set.filter((name) => name !== undefined && !names.includes(name.replace(/_FILE$/, '')))).toEqual([])
})
