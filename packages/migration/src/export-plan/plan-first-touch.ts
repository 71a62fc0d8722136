import { type ExportFile, type Identities, type Run, type Slice, tellsWhoIsWho } from '@heapferry/domain'
import { contextOf } from '../converters.ts'
import { findTouches } from '../first-touch/find-touches.ts'
import { sendsFirstTouch } from '../first-touch/save-first-touch.ts'
import { touchFiles } from '../first-touch/touch-files.ts'
import { identityFacts } from '../identities/identity-facts.ts'
import { noIdentities } from '../identities/no-identities.ts'
import { peopleOf } from '../identities/people.ts'
import type { ExportPlan } from './export-plan.ts'
import { firstMiddleLast } from './first-middle-last.ts'
import type { ExportPlanWork, SurveyedTable } from './plan-export.ts'

/**
 * Who will be told what was first of them: counted where all rows are read, else estimated from the people that samples
 * name. Null where nobody will be.
 */
export async function planFirstTouch(
  run: Run,
  {
    files,
    tables,
    identities,
  }: { files: readonly ExportFile[]; tables: readonly SurveyedTable[]; identities: Identities },
  { source, hashSalt, full, signal }: ExportPlanWork,
): Promise<ExportPlan['first_touch']> {
  const { from, files: telling } = touchFiles(files, run.mapping)
  if (telling.length === 0 || !sendsFirstTouch(run)) return null
  const chosen = new Set(full ? telling : firstMiddleLast(telling))
  let isWhole = chosen.size === telling.length
  let sampled = 0

  async function* sampleOf(file: ExportFile): AsyncGenerator<Slice> {
    const { rows, whole } = await source.sample(file, sampledRows)
    isWhole &&= whole
    sampled += rows.length
    yield { rows, next: 0 }
  }
  const read = (file: ExportFile): AsyncIterable<Slice> =>
    full || !telling.includes(file) ? source.readAll(file) : sampleOf(file)
  const ofPeople = files.filter(({ table }) => tellsWhoIsWho(table.kind))
  // What cannot be read to its end is told where people are resolved.
  const facts = await identityFacts(ofPeople, source.readAll, { mapping: run.mapping, hashSalt, onDamage: () => {} })
  const touches = findTouches(
    files.filter((file) => chosen.has(file) || !telling.includes(file)),
    {
      read,
      people: peopleOf(facts),
      context: contextOf(run, noIdentities, hashSalt),
      contextOfPeople: async () => contextOf(run, identities, hashSalt),
      signal,
    },
  )
  let people = 0
  const samples: NonNullable<ExportPlan['first_touch']>['samples'] = []
  for await (const { distinctId, timeMs, setOnce, set } of touches) {
    people++
    if (samples.length >= samplesShown) continue
    samples.push({ distinct_id: distinctId, time: new Date(timeMs).toISOString(), set_once: setOnce, set })
  }
  if (full || isWhole) return { from, people: { count: people, exact: true }, samples }
  const names = new Set(telling.map(({ table }) => table.name))
  const rows = tables.reduce((sum, { table, rows: { count } }) => sum + (names.has(table.name) ? count : 0), 0)
  // Somewhere between as many as were met and as many for every other row: so neither is wrong by more than the other.
  const times = Math.sqrt(Math.max(1, rows / Math.max(1, sampled / readings)))
  return { from, people: { count: Math.round(people * times), exact: false }, samples }
}

const sampledRows = 500
const samplesShown = 3
/** What is sampled is read twice, as everything is that tells what was first. */
const readings = 2
