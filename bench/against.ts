import { execFile } from 'node:child_process'
import { copyFile, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { writeBenchCsv } from '@heapferry/sample-export'
import { inOwnProcess, workerFlags } from './in-own-process.ts'
import { measured, onBenchCsv } from './run.ts'
import { inputs, round1, stages } from './stages.ts'

const execute = promisify(execFile)
const repository = path.join(import.meta.dirname, '..')
const turns = 5
const rows = 200_000

/**
 * This checkout beside another commit, as lines of a table: CPU, which a busy machine falsifies least, by turns, so that it
 * does so for both alike. The other commit is checked out into a folder of its own, with the libraries of this one.
 */
export async function* benchAgainst(revision: string): AsyncGenerator<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'heapferry-bench-'))
  const baseline = path.join(folder, 'baseline')
  await execute('git', ['worktree', 'add', '--detach', baseline, revision], { cwd: repository })
  try {
    await symlink(path.join(repository, 'node_modules'), path.join(baseline, 'node_modules'))
    await copyFile(path.join(import.meta.dirname, 'read-stage.ts'), path.join(baseline, 'bench/read-stage.ts'))
    await execute(process.execPath, ['build.mjs'], { cwd: baseline })
    yield `| input | what | CPU µs/row, ${revision} | here | here / ${revision}, of each turn |`
    yield '|---|---|---|---|---|'
    for (const [input, { quoted }] of Object.entries(inputs)) {
      const source = path.join(folder, 'pageviews.csv')
      await writeBenchCsv(source, { rows, seed: 1, quoted })
      for (const stage of stages)
        yield lineOf(input, stage, await byTurns(baseline, (root) => cpuOfStage(root, folder, stage)))
      yield* onBenchCsv({ rows, quoted }, async function* (run) {
        const cpuOfRun = async (root: string) => {
          const result = await measured({ ...run, workers: 1, pages: null, bin: path.join(root, 'dist/heapferry.mjs') })
          return result['worker CPU µs/event']
        }
        yield lineOf(input, 'a whole run: its worker, start included', await byTurns(baseline, cpuOfRun))
      })
    }
  } finally {
    await execute('git', ['worktree', 'remove', '--force', baseline], { cwd: repository })
    await rm(folder, { recursive: true })
  }
}

interface Turn {
  base: number
  here: number
}

async function byTurns(baseline: string, cpuOf: (root: string) => Promise<number>): Promise<Turn[]> {
  const all: Turn[] = []
  for (let turn = 0; turn < turns; turn++) all.push({ base: await cpuOf(baseline), here: await cpuOf(repository) })
  return all
}

async function cpuOfStage(root: string, folder: string, stage: string): Promise<number> {
  const { result } = await inOwnProcess('read-stage.ts', [folder, stage], workerFlags, root)
  return ((result['cpuSeconds'] ?? 0) * 1e6) / rows
}

function lineOf(input: string, what: string, all: readonly Turn[]): string {
  const ratios = all.map(({ base, here }) => here / base).toSorted((a, b) => a - b)
  const [base, here] = [median(all.map((turn) => turn.base)), median(all.map((turn) => turn.here))]
  const spread = `${percent(median(ratios))} (${percent(ratios[0] ?? 0)} to ${percent(ratios.at(-1) ?? 0)})`
  return `| ${input} | ${what} | ${round1(base)} | ${round1(here)} | ${spread} |`
}

function median(all: readonly number[]): number {
  return all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)] ?? 0
}

function percent(ratio: number): string {
  return `${Math.round(ratio * 100)} %`
}
