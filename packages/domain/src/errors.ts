/**
 * Someone has to act before going on makes sense: the run is paused with the message and nothing is lost.
 * `hint` says what to do.
 */
export class OperatorError extends Error {
  override name = 'OperatorError'
  readonly hint: string
  constructor(message: string, hint: string, options?: ErrorOptions) {
    super(message, options)
    this.hint = hint
  }
}

/** A file of the export is not the one that was planned. Mixing two versions would lose or double rows. */
export class SourceChanged extends OperatorError {
  override name = 'SourceChanged'
}
