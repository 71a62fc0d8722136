import { compileConverter } from '@heapferry/conversion'
import type { ExportFile, Mapping } from '@heapferry/domain'
import { byColumns } from '../identities/by-columns.ts'
import { idOf } from '../identities/identity-facts.ts'
import { readAhead } from '../read-ahead.ts'
import type { TouchSource } from './find-touches.ts'
import { heapPlaceColumns } from './touch-files.ts'
import type { Touches } from './touches.ts'

const meant = /^\$(?:initial_|geoip_)/

/** What rows of `users` say that first and last rows would say too; each combination of names is kept once. */
export class SaidOfPeople {
  readonly #numbers = new Map<string, number>()
  readonly #names: ReadonlySet<string>[] = []

  /** Converts the rows as a worker does: only what is sent counts. Files in which no column can say it are not read. */
  async read(
    files: readonly ExportFile[],
    touches: Touches,
    { read, people, contextOfPeople, context: { mapping }, signal }: TouchSource,
  ): Promise<void> {
    const saying = files.filter((file) => file.table.kind === 'users' && maySay(file, mapping))
    if (saying.length === 0) return
    const context = await contextOfPeople()
    for await (const { file, slices } of readAhead(saying, read)) {
      const convertOf = byColumns((columns) => compileConverter(file.table, columns, context))
      for await (const { rows } of slices) {
        if (signal.aborted) return
        for (const row of rows) {
          if (row.kind !== 'row') continue
          const { columns, values, types } = row
          const conversion = convertOf(columns)(values, types)
          const id = idOf(values[columns.indexOf('user_id')] ?? null)
          if (conversion.kind !== 'event' || id === undefined) continue
          const names = namesIn(conversion.event.properties)
          if (names.length === 0) continue
          const number = touches.numberOf(people.personOf(id))
          if (number === -1) continue
          touches.setSaid(number, this.#numberOf([...this.namesOf(touches.saidOf(number)), ...names]))
        }
      }
    }
  }

  namesOf(number: number): ReadonlySet<string> {
    return this.#names[number] ?? nothing
  }

  #numberOf(names: readonly string[]): number {
    const all = new Set(names.toSorted())
    const key = [...all].join('\0')
    const known = this.#numbers.get(key)
    if (known !== undefined) return known
    this.#numbers.set(key, this.#names.length)
    return this.#names.push(all) - 1
  }
}

const nothing: ReadonlySet<string> = new Set()

/** Of JSON the columns are those of the first rows only. */
function maySay({ table, columns, format }: ExportFile, mapping: Mapping): boolean {
  if (format.kind === 'json_lines' || format.kind === 'json_array') return true
  const { properties = {}, static: statics = {} } = mapping.tables[table.name] ?? {}
  const rules = Object.values({ ...mapping.properties, ...properties })
  const named = rules.flatMap((rule) => (typeof rule === 'object' ? (rule.name ?? []) : []))
  return (
    columns.some((column) => column.startsWith('initial_') || heapPlaceColumns.includes(column)) ||
    [...named, ...Object.keys(statics)].some((name) => meant.test(name))
  )
}

function namesIn({ $set, $set_once }: Record<string, unknown>): string[] {
  return Object.keys({ ...objectOf($set), ...objectOf($set_once) }).filter((name) => meant.test(name))
}

function objectOf(value: unknown): object {
  return typeof value === 'object' && value !== null ? value : {}
}
