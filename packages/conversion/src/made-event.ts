import type { Conversion, OfRow, PostHogEvent, Written } from '@heapferry/domain'
import { jsonOf, Properties } from './properties.ts'

/** An event as converters make it. Its properties may be a `Properties` that is cleared for the next row. */
interface MadeEvent extends Omit<PostHogEvent, 'properties'> {
  properties: Properties | PostHogEvent['properties']
}

type Outcome = { kind: 'event'; event: MadeEvent } | Exclude<Conversion, { kind: 'event' }>

/** What becomes of a row, before anybody holds it. */
export type OutcomeOf = OfRow<Outcome>

export function plainEvent({ uuid, event, distinct_id, timestamp, properties }: MadeEvent): PostHogEvent {
  const plain = properties instanceof Properties ? properties.toObject() : properties
  return { uuid, event, distinct_id, timestamp, properties: plain }
}

/** Its fields are those of `plainEvent`, in their order. */
export function writtenEvent(made: MadeEvent): Extract<Written, { kind: 'event' }>['event'] {
  const { uuid, event, distinct_id, timestamp, properties } = made
  const json =
    `{"uuid":"${uuid}","event":${jsonOf(event)},"distinct_id":${jsonOf(distinct_id)},"timestamp":"${timestamp}",` +
    `"properties":${properties instanceof Properties ? properties.toJson() : JSON.stringify(properties)}}`
  return { uuid, event, distinct_id, timestamp, json }
}
