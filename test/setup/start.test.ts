import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { expect, test } from 'vitest'

const root = path.resolve(import.meta.dirname, '../..')

/** Libraries from node_modules that a command line loads before it ends. */
function librariesLoadedBy(...args: string[]): string[] {
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
  return [...new Set([...names].map(([, name = '']) => name))].toSorted()
}

test.each(['--version', '--help'])('%s loads the library of command lines and no other', (flag) => {
  expect(librariesLoadedBy(flag)).toEqual(['commander'])
})
