import type { ConversionContext } from './context.ts'
import { uuidTail, uuidV7 } from './uuid-v7.ts'

/**
 * The uuid of an event that Heap has numbered. Never from user_id: Heap rewrites that when a person is identified, and an
 * export made later would send everything a second time. Heap numbers what happened, and two tables may both hold it.
 */
export function eventUuid(table: string, eventId: string, timeMs: number): string {
  return uuidV7(timeMs, uuidTail(`heapferry event\0${table}\0${eventId}`))
}

/**
 * The uuid of a row without a number of its own: of all that it says. Where the mapping hashes, with the salt: else the
 * uuid would tell whoever knows the rest of the row that he has guessed a hashed cell.
 */
export function rowUuid(table: string, content: string, timeMs: number, hash: ConversionContext['hash']): string {
  return uuidV7(timeMs, uuidTail(`heapferry row\0${table}\0${hash === null ? content : hash(content)}`))
}
