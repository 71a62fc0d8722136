import { visible } from './visible.ts'

/**
 * Someone has to act before going on makes sense: the run is paused with the message and nothing is lost.
 * `hint` says what to do. Both name what the export or PostHog has named: made visible here, so that nobody can forget it.
 */
export class OperatorError extends Error {
  override name = 'OperatorError'
  readonly hint: string
  constructor(message: string | readonly string[], hint: string, options?: ErrorOptions) {
    super([message].flat().map(visible).join('\n'), options)
    this.hint = visible(hint)
  }
}

/** A file of the export is not the one that was planned. Mixing two versions would lose or double rows. */
export class SourceChanged extends OperatorError {
  override name = 'SourceChanged'
}
