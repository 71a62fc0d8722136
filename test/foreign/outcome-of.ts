import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { type ExportFile, Mapping, type PostHogEvent } from '@heapferry/domain'
import { createPersons } from '@heapferry/fake-posthog'
import { conversionOf, convertersOf, decodeIdentities, encodeIdentities, resolvePeople } from '@heapferry/migration'
import { discover, inspectExport, sourceAt } from '@heapferry/sources'
import { runOf } from '../support/chunk.ts'
import { temporaryFolder } from '../support/folder.ts'
import { noS3 } from '../support/place.ts'

/** Files of an export by their paths in it. */
export type Files = Readonly<Record<string, string | Uint8Array>>

/** What a run would make of an export. */
export interface Outcome {
  events: PostHogEvent[]
  /** By table and name of the file's columns. */
  files: readonly ExportFile[]
  skipped: Record<string, number>
  rejected: Record<string, number>
  notices: string[]
}

const limits = { rows: 3, bytes: 1_000_000 }

/** @throws OperatorError where a run would stop before anything is sent */
export async function outcomeOf(files: Files, mapping: unknown = {}): Promise<Outcome> {
  const folder = path.join(await temporaryFolder(), 'export')
  for (const [name, content] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(folder, name)), { recursive: true })
    await writeFile(path.join(folder, name), content)
  }
  const parsed = Mapping.parse(mapping)
  const discovery = await discover(folder, noS3)
  const inspected = (await inspectExport(discovery, parsed)).map((one) => {
    if (one.kind === 'faulty') throw one.fault
    return one
  })
  const found = inspected.flatMap((one) => one.files)
  const read = (file: ExportFile) => sourceAt(discovery.place).readAll(file, limits)
  const people = await resolvePeople(found, read, { mapping: parsed, hashSalt: 'a salt', listNamed: true })
  const identities = decodeIdentities(Buffer.concat(encodeIdentities(people)))
  const run = runOf('foreign', { createdAtMs: Date.UTC(2030), mapping: parsed })
  const converterFor = convertersOf(run, identities, 'a salt')
  const outcome: Outcome = {
    events: [],
    files: found,
    skipped: {},
    rejected: {},
    notices: [...discovery.notices, ...inspected.flatMap((one) => one.notices), ...people.notices],
  }
  for (const file of found) {
    for await (const { rows } of read(file)) {
      for (const row of rows) {
        const conversion = conversionOf(row, file.table, converterFor)
        if (conversion.kind === 'event') outcome.events.push(conversion.event)
        const ended =
          conversion.kind === 'skip' ? outcome.skipped : conversion.kind === 'reject' ? outcome.rejected : null
        if (ended !== null && conversion.kind !== 'event')
          ended[conversion.reason] = (ended[conversion.reason] ?? 0) + 1
      }
    }
  }
  return outcome
}

/** What PostHog would know of a person, were the events to arrive in this order. */
export function personOf(events: readonly PostHogEvent[], distinctId: string): Record<string, unknown> | undefined {
  const persons = createPersons('events')
  for (const event of events) persons.add(event)
  return persons.personOf(distinctId)?.properties
}
