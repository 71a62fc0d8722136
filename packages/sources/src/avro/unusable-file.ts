/** Nothing can be read from a file, for a reason that a person must mend. Who knows its path makes an OperatorError of it. */
export class UnusableFile extends Error {
  override name = 'UnusableFile'
  readonly hint: string
  constructor(message: string, hint: string, options?: ErrorOptions) {
    super(message, options)
    this.hint = hint
  }
}
