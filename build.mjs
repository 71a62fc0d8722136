/**
 * Compiles the command into dist/heapferry.mjs and pieces beside it.
 *
 * `npm start` and `npm test` call it through setup.mjs; `npm pack` and the image call it as a program.
 */
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { isBuiltin } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('.', import.meta.url))
const folder = join(root, 'dist')
const entry = join(folder, 'heapferry.mjs')
const dayMs = 86_400_000

/** Whether a source was written, or removed, since the build was begun. */
export function isStale() {
  const builtAtMs = statSync(entry, { throwIfNoEntry: false })?.mtimeMs ?? 0
  const sources = ['packages', 'apps'].flatMap((top) =>
    readdirSync(join(root, top)).map((workspace) => join(top, workspace, 'src')),
  )
  return ['build.mjs', 'package-lock.json', ...sources].some((path) => isNewer(join(root, path), builtAtMs))
}

/** Of folders too: removing a file changes nothing else. */
function isNewer(path, thanMs) {
  const stat = statSync(path)
  if (stat.mtimeMs > thanMs) return true
  return stat.isDirectory() && readdirSync(path).some((name) => isNewer(join(path, name), thanMs))
}

/** @param {{ fresh?: boolean }} options fresh: nothing of other builds stays */
export async function build({ fresh = false } = {}) {
  const begunAt = new Date()
  const { rolldown } = await import('rolldown')
  const bundle = await rolldown({
    cwd: root,
    input: { heapferry: 'apps/cli/src/main.ts' },
    tsconfig: 'tsconfig.json',
    platform: 'node',
    external: (id, importer = '') =>
      !isOurs(id) && !compiledIn.has(libraryOf(id)) && !importer.includes('/node_modules/'),
  })
  // A piece for each part that a command loads when it is called.
  const { output } = await bundle.generate({
    format: 'esm',
    entryFileNames: '[name].mjs',
    chunkFileNames: '[name]-[hash].mjs',
    banner: ({ isEntry }) => (isEntry ? '#!/usr/bin/env node' : ''),
  })
  await bundle.close()
  assertDeclared(output.flatMap(({ imports, dynamicImports }) => [...imports, ...dynamicImports]))
  mkdirSync(folder, { recursive: true })
  // What browsers get stays as it is.
  cpSync(join(root, 'apps/dashboard/src/browser'), join(folder, 'browser'), {
    recursive: true,
    filter: (path) => !/\.(?:json|ts)$/.test(path),
  })
  // Whole files only, the one that names the others last: commands may be starting from here now.
  for (const piece of output.toSorted((a, b) => Number(a.isEntry) - Number(b.isEntry))) {
    const path = join(folder, piece.fileName)
    writeFileSync(`${path}.${process.pid}`, piece.code)
    renameSync(`${path}.${process.pid}`, path)
  }
  utimesSync(entry, begunAt, begunAt)
  removeOld(new Set(['browser', ...output.map(({ fileName }) => fileName)]), fresh ? 0 : 30 * dayMs)
}

/**
 * Libraries of many files that every run loads: in one piece they take a fifth of the time. They are declared as
 * dependencies all the same, so that whoever audits or patches them sees them. All others stay outside.
 */
const compiledIn = new Set([
  'bullmq',
  'csv-parse',
  'hyparquet',
  'hyparquet-compressors',
  'ioredis',
  'log-update',
  'lossless-json',
  'undici',
  'zod',
])

function isOurs(id) {
  return /^(?:[./]|@heapferry\/)/.test(id)
}

/** `@scope/name/file.js` → `@scope/name`. */
function libraryOf(id) {
  return id
    .split('/')
    .slice(0, id.startsWith('@') ? 2 : 1)
    .join('/')
}

/** What a clone has by chance, a package that is installed alone lacks: compilers add helpers of their own, too. */
function assertDeclared(imports) {
  const { dependencies, peerDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const declared = { ...dependencies, ...peerDependencies }
  const missing = imports.filter((id) => !isBuiltin(id) && !id.endsWith('.mjs') && !(libraryOf(id) in declared))
  if (missing.length > 0) throw new Error(`package.json does not declare ${missing.join(', ')}`)
}

/** Pieces are named for their content. A run that is going on may still load those that it was started with. */
function removeOld(current, afterMs) {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name)
    if (!current.has(name) && Date.now() - statSync(path).mtimeMs >= afterMs) rmSync(path, { recursive: true })
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await build({ fresh: process.argv.includes('--fresh') })
