/** Whom a user id belongs to, after following every migration. */
export type Resolution =
  | {
      kind: 'person'
      /** The person's identity, or one of their user ids where no identity is known. */
      distinctId: string
      /** A migration leads from the id to another: the values that Heap has of it are older than those of the other. */
      migratedAway: boolean
    }
  /** Several identities lay claim to the id; it is joined to none. `detail` names ids, never identities. */
  | { kind: 'conflict'; detail: string }

/** What a row of `user_migrations` does for the person whose ids it names. */
export type Join =
  /** The row joins `alias` to the person: each id of a person but one is the alias of some row. */
  | { kind: 'joins'; alias: string; distinctId: string }
  /** Other rows join both ids, or they are the same id. */
  | { kind: 'nothing' }
  /** The row would join two people. */
  | { kind: 'conflict'; detail: string }

/** What a row of `users` is among the rows of its person, where there are several. */
export type Standing =
  /** A newer row of the same id stands for it. `joins`: that one joins the id to its identity, too. */
  | { kind: 'older'; joins: boolean }
  | {
      kind: 'counts'
      /** No other row of the person is newer: its values are the current ones. */
      isNewest: boolean
      /** Columns whose values the person has from another row: each is sent with one row only, so that order does not matter. */
      elsewhere: ReadonlySet<string>
    }

/** The resolved graph of what an export says of user ids. All ids are canonical decimal strings. */
export interface Identities {
  /** Undefined for an id that no migration names and whose own row says all there is to know. */
  person(userId: string): Resolution | undefined
  /** For the ids of a row of `user_migrations`. */
  joinedBy(fromId: string, toId: string): Join
  /**
   * Whether the export says anything of the id: an identity, or another id that it is joined to. PostHog has a person for
   * such an id in any case. Only asked where the mapping says `anonymous: personless`.
   */
  isKnown(userId: string): boolean
  /** Whether a later dump than `dump` has a row of `users` for the id. */
  isSuperseded(userId: string, dump: number): boolean
  /** Whether a row of people gives a property to the group that it names, and no other row. @param row `GroupValue.row` */
  givesToGroup(row: bigint): boolean
  /** Undefined where the row is the only one of its person. @param rowKey of the row's content; asked for only where there are several */
  standing(userId: string, rowKey: () => number): Standing | undefined
}
