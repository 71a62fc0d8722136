import path from 'node:path'
import type { RunId } from '@heapferry/domain'

/** Where things lie below HEAPFERRY_HOME. */
export function homeOf(home: string) {
  const ofRun = (run: RunId): string => path.join(home, 'runs', run)
  return {
    /** Who every migrated id ends as: written by the producer, loaded by every worker. */
    identities: (run: RunId): string => path.join(ofRun(run), 'identities.jsonl'),
    log: (run: RunId, role: string): string => path.join(ofRun(run), `${role}.log`),
  }
}
