import { existsSync, readdirSync, readFileSync } from 'node:fs'
import type { ChunkOutcome } from '@heapferry/domain'
import type { RunState } from '@heapferry/migration'
import { expect, test } from 'vitest'

const document = readFileSync(new URL('../../ARCHITECTURE.md', import.meta.url), 'utf8')

// The compiler refuses these lists where a kind is missing, and where one is too many.
const runStates = {
  planning: true,
  unloading: true,
  running: true,
  waiting_for_posthog: true,
  pausing: true,
  paused: true,
  completing: true,
  cancelled: true,
  failed: true,
  completed: true,
  completed_with_rejected_rows: true,
} satisfies Record<RunState['kind'], true>
const chunkOutcomes = {
  finished: true,
  interrupted: true,
  lock_lost: true,
  not_planned: true,
} satisfies Record<ChunkOutcome['kind'], true>

test('the diagram of a run names exactly the states that a run can be in', () => {
  const drawn = transitionsOf('The states of a run').flatMap(({ from, to }) => [from, to])
  expect(new Set(drawn.filter((state) => state !== '[*]'))).toEqual(new Set(Object.keys(runStates)))
})

test('the diagram of a chunk has exactly the ways in which the turn of a worker can end', () => {
  const endings = transitionsOf('The states of a chunk').filter(({ from }) => from === 'active')
  // Everything else that ends a turn is said in several words.
  const outcomes = endings.map(({ why }) => why).filter((why) => !why.includes(' '))
  expect(outcomes.toSorted()).toEqual(Object.keys(chunkOutcomes).toSorted())
})

function transitionsOf(heading: string): { from: string; to: string; why: string }[] {
  const [, section = ''] = document.split(`## ${heading}\n`)
  const diagram = /^```mermaid\nstateDiagram-v2\n(.*?)^```$/ms.exec(section)?.[1] ?? ''
  return diagram
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [, from = '', to = '', why = ''] = /^ {2}(\S+) --> (\S+)(?: : (.+))?$/.exec(line) ?? []
      if (to === '') throw new Error(`not a transition: ${line}`)
      return { from, to, why }
    })
}

test("every function of a row's walk is where the document says", () => {
  const walk = /## One row's walk\n(.*?)\n## /s.exec(document)?.[1] ?? ''
  const steps = [...walk.matchAll(/^\| \d+ \| (.*?) \| (.*?) \|/gm)].map(([, functions = '', places = '']) => ({
    names: [...functions.matchAll(/`(\w+)(?:\.\w+)?`/g)].map(([, name = '']) => name),
    sources: places.split(', ').flatMap(sourcesAt).join('\n'),
  }))
  const lost = steps.flatMap(({ names, sources }) => names.filter((name) => !new RegExp(`\\b${name}\\b`).test(sources)))
  expect(lost).toEqual([])
  expect(steps.flatMap(({ names }) => names).length).toBeGreaterThan(15)
})

/** The texts of `workspace/file`, of all files in `workspace/folder`, or of the whole of a workspace. */
function sourcesAt(place: string): string[] {
  const [workspace = '', ...rest] = place.trim().split('/')
  for (const top of ['packages', 'apps']) {
    const base = new URL(`../../${top}/${workspace}/src/${rest.join('/')}`, import.meta.url)
    if (existsSync(new URL(`${base.href}.ts`))) return [readFileSync(new URL(`${base.href}.ts`), 'utf8')]
    if (!existsSync(base)) continue
    const files = readdirSync(base, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
    return files.map((file) => readFileSync(new URL(`${base.href.replace(/\/$/, '')}/${file}`), 'utf8'))
  }
  throw new Error(`${place} is not there`)
}
