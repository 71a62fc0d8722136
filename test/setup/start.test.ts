import { spawnSync } from 'node:child_process'
import { statSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'

const root = path.resolve(import.meta.dirname, '../..')

/** What a command line loads before it ends: libraries from node_modules, and bytes of what was compiled. */
function loadedBy(...args: string[]): { libraries: string[]; compiledBytes: number } {
  const hooks = `
    export async function load(url, context, next) {
      process._rawDebug('loaded ' + url)
      return next(url, context)
    }`
  const register = `
    import { register } from 'node:module'
    register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(hooks)}))`
  const { stderr } = spawnSync(
    process.execPath,
    [
      '--import',
      `data:text/javascript,${encodeURIComponent(register)}`,
      path.join(root, 'dist', 'heapferry.mjs'),
      ...args,
    ],
    { encoding: 'utf8', env: { PATH: process.env.PATH } },
  )
  const names = stderr.matchAll(/^loaded .*\/node_modules\/((?:@[^/]+\/)?[^/]+)/gm)
  const pieces = stderr.matchAll(/^loaded file:\/\/(.*\/dist\/.*)$/gm)
  return {
    libraries: [...new Set([...names].map(([, name = '']) => name))].toSorted(),
    compiledBytes: [...pieces].reduce((sum, [, file = '']) => sum + statSync(file).size, 0),
  }
}

test.each(['--version', '--help'])('%s loads the library of command lines, and nothing of what commands do', (flag) => {
  const { libraries, compiledBytes } = loadedBy(flag)
  expect(libraries).toEqual(['commander'])
  // The schemas alone, which every command needs, are ten times as much.
  expect(compiledBytes).toBeGreaterThan(1000)
  expect(compiledBytes).toBeLessThan(20_000)
})

test('status loads no library but that of command lines and that of logs, and of what is compiled not the queues', () => {
  const { libraries, compiledBytes } = loadedBy('help', 'status')
  expect(libraries).toEqual(['commander', 'pino'])
  // BullMQ is 1.7 MB.
  expect(compiledBytes).toBeLessThan(1_200_000)
})
