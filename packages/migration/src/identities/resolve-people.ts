import type { ExportFile, Mapping, OperatorError, Slice } from '@heapferry/domain'
import { crowdedText } from './crowded-identities.ts'
import { groupValues } from './group-values.ts'
import { identityFacts } from './identity-facts.ts'
import { type ResolvedIdentities, resolveIdentities } from './resolve-identities.ts'
import { settleStandings, type Standings } from './settle-standings.ts'
import { undatedNotices } from './undated-people.ts'

/** Who is who, and which row of whom counts. */
export interface ResolvedPeople extends Omit<ResolvedIdentities, 'rivals'> {
  standings: Standings
  /** Of each property of each group the row that gives it: `GroupValue.row`, ascending. */
  groupValues: BigInt64Array
  /** What a user should know before people are sent. */
  notices: string[]
}

/**
 * Reads the people of an export, those with several rows twice: all rows at once would not fit into a gigabyte.
 * @param read the rows of a whole file, the same whenever it is read
 * @param listNamed also lists all other ids that have an identity, eight bytes each
 * @param onDamage told of files that cannot be read to their end; should it return, the rows before that count
 * @throws OperatorError of the first such file, unless `onDamage` is given
 */
export async function resolvePeople(
  files: readonly ExportFile[],
  read: (file: ExportFile) => AsyncIterable<Slice>,
  {
    listNamed,
    ...options
  }: {
    mapping: Mapping
    hashSalt: string | null
    listNamed: boolean
    onDamage?: (file: ExportFile, fault: OperatorError) => void
  },
): Promise<ResolvedPeople> {
  const { rivals, undated, ...resolved } = await identitiesOf()
  const standings = await settleStandings({ ...resolved, rivals }, files, read, options.mapping)
  const ofGroups = await groupValues(resolved, files, read, options)
  const notices = [...resolved.summary.crowded.map(crowdedText), ...undatedNotices(undated)]
  return { ...resolved, standings, groupValues: ofGroups, notices }

  /** The facts are free again behind it. */
  async function identitiesOf() {
    const facts = await identityFacts(files, read, options)
    return {
      ...resolveIdentities(facts, { listNamed, idsPerIdentity: options.mapping.ids_per_identity }),
      undated: facts.undated,
    }
  }
}
