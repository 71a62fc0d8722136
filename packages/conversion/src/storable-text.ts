const unstorable = /[\0\p{Surrogate}]/gu

/**
 * Text as PostHog can store it: NUL and halves of surrogate pairs become U+FFFD. PostHog does the first itself; the
 * second would make its JSON parser refuse the whole request.
 */
export function storableText(text: string): string {
  return text.isWellFormed() && !text.includes('\0') ? text : text.replace(unstorable, '\uFFFD')
}
