import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

const slow = 'test/**/*.slow.test.ts'
/** Slow tests that measure time, race a browser against a run, or pack dist/ anew: nothing else runs meanwhile. */
const alone = ['test/**/{pace,states}.slow.test.ts', 'test/dashboard/*.slow.test.ts', 'test/setup/package.slow.test.ts']
/** They need programs that others have written, installed by `npm run test:emulators`. */
const emulators = 'test/emulators/**/*.test.ts'
/** Fast tests that try properties: `npm test` tries a few times, `npm run test:slow` as often as they are worth. */
const properties = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .map((file) => path.posix.join('test', file))
  .filter((file) => /^(?!.*\.slow).*\.test\.ts$/.test(file) && !file.startsWith('test/emulators'))
  .filter((file) => /\btries\(|\bsourceContract\(/.test(readFileSync(file, 'utf8')))

/** They wait for locks, latencies and processes more than they work: more at a time than there are cores. */
const waiting = { maxWorkers: 3, sequence: { groupOrder: 1 } }
/** Long ones are begun first: begun last, one would keep everybody waiting. */
const longest =
  /(?:redis-ways|formats|faults|crash|retry|lifecycle|chaos|refusals)\.slow|e2e\/(?:run|verify)\.test|emulators\/(?:redshift|snowflake|bigquery)/

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return files.toSorted((a, b) => Number(longest.test(b.moduleId)) - Number(longest.test(a.moduleId)))
  }
}

export default defineConfig({
  resolve: { tsconfigPaths: true },
  test: {
    globalSetup: ['test/support/make-ready.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Of the slow suites; more than 1 where somebody wants to know it of very many.
    provide: { propertyBudget: Number(process.env.PROPERTY_BUDGET || 1) },
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        extends: true,
        test: {
          name: 'fast',
          include: ['test/**/*.test.ts'],
          exclude: [slow, emulators],
          isolate: false,
          provide: { propertyBudget: 0.1 },
        },
      },
      { extends: true, test: { name: 'properties', include: properties, testTimeout: 600_000, ...waiting } },
      {
        extends: true,
        test: {
          name: 'emulators',
          include: [emulators],
          globalSetup: [
            'test/emulators/install-moto.ts',
            'test/emulators/install-postgres.ts',
            'test/emulators/install-bqemulator.ts',
            'test/emulators/install-fakesnow.ts',
          ],
          hookTimeout: 300_000,
          ...waiting,
        },
      },
      { extends: true, test: { name: 'slow', include: [slow], exclude: alone, testTimeout: 1_800_000, ...waiting } },
      // Without file parallelism a project runs by itself, after those that have it.
      { extends: true, test: { name: 'alone', include: alone, testTimeout: 1_800_000, fileParallelism: false } },
    ],
  },
})
