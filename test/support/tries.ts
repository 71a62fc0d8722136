import { inject } from 'vitest'

declare module 'vitest' {
  interface ProvidedContext {
    /** Of the tries that a property is worth, those that there is time for. */
    propertyBudget: number
  }
}

/** How often a property is tried: `full` times in the slow suites, a part of that in `npm test`. */
export function tries(full: number): number {
  return Math.ceil(full * inject('propertyBudget'))
}
