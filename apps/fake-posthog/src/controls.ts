import type { IncomingMessage } from 'node:http'
import { z } from 'zod'
import { Fault, type FaultBox } from './fault.ts'
import { type HttpReply, json, readJson } from './http-reply.ts'
import type { StoredEvent } from './store.ts'

const EventsQuery = z.object({
  offset: z.coerce.number().int().nonnegative().default(0),
  limit: z.coerce.number().int().positive().max(100_000).default(1000),
})

/** One page of what is stored, for other processes. */
export function eventsPage(stored: ReadonlyMap<string, StoredEvent>, query: URLSearchParams): HttpReply {
  const page = EventsQuery.safeParse(Object.fromEntries(query))
  if (!page.success) return json(400, { error: z.prettifyError(page.error) })
  const { offset, limit } = page.data
  const events: ({ uuid: string } & StoredEvent)[] = []
  let index = 0
  for (const [uuid, event] of stored) {
    if (index >= offset + limit) break
    if (index >= offset) events.push({ uuid, ...event })
    index += 1
  }
  return json(200, { events, next: index < stored.size ? index : null })
}

/** Sets the fault that a request asks for. */
export async function setFault(faults: FaultBox, request: IncomingMessage): Promise<HttpReply> {
  const fault = Fault.safeParse(await readJson(request))
  if (!fault.success) return json(400, { error: z.prettifyError(fault.error) })
  faults.set(fault.data)
  return json(200, { fault: fault.data })
}
