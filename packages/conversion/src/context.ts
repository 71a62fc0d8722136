import type { Cast } from './cast-text.ts'
import type { Identities, Mapping, RunId } from '@heapferry/domain'

/** What of a run has a say in what its rows become. */
export interface ConversionContext {
  run: RunId
  /** Which conversion the run was begun with; what later ones do otherwise, it does as it was. */
  conversion: number
  mapping: Mapping
  /** Milliseconds since 1970. Rows are young or in the future relative to this. */
  startedAtMs: number
  includeRecent: boolean
  identities: Identities
  /** What becomes of text that the mapping hashes; null where it hashes nothing. */
  hash: ((text: string) => string) | null
  /** Told of every cell that the mapping wants cast and that stays text. */
  onUncast?: ((column: string, as: Cast) => void) | undefined
}
