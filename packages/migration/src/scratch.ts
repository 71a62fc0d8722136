/** Where records go that memory has no room for: nothing in them can be read back to a row. */
export interface Scratch {
  append(part: number, bytes: Uint8Array): Promise<void>
  /** Everything that was appended to a part, which is empty then: another count may follow. */
  take(part: number): Promise<Uint8Array>
}
