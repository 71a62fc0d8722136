import type { Conversion, Convert, OfRow } from '@heapferry/domain'

/** A converter that writes the events it makes. */
export function writing(convert: OfRow<Conversion>): Convert {
  return Object.assign((...row: Parameters<typeof convert>) => convert(...row), {
    write: (...row: Parameters<typeof convert>) => {
      const conversion = convert(...row)
      if (conversion.kind !== 'event') return conversion
      const { properties: _, ...event } = conversion.event
      return { kind: 'event' as const, event: { ...event, json: JSON.stringify(conversion.event) } }
    },
  })
}
