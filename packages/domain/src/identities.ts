/** Who a user id that was migrated away ends as, after following every migration. */
export type Resolution =
  /** `distinctId`: the final identity, or the final user id where no identity is known. */
  | { kind: 'person'; distinctId: string }
  /** Following the migrations would join two people; nothing is merged. `detail` names the ids, not the people. */
  | { kind: 'conflict'; detail: string }

/** The resolved graph of `user_migrations` and `users.identity`. */
export interface Identities {
  /** Undefined for an id that no migration starts from. Ids are canonical decimal strings. */
  resolve(userId: string): Resolution | undefined
}
