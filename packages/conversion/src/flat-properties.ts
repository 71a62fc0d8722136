/** The properties of an event by name; those of people as `$set.plan`, `$set_once.$initial_os`. */
export function flatProperties(properties: Record<string, unknown>): Map<string, unknown> {
  const flat = new Map<string, unknown>()
  for (const [name, value] of Object.entries(properties)) {
    if (name !== '$set' && name !== '$set_once') flat.set(name, value)
    else for (const [inner, one] of Object.entries(value ?? {})) flat.set(`${name}.${inner}`, one)
  }
  return flat
}
