// Control characters, among them those that end a line, and the signs that turn the direction of the text around them.
const sign = String.raw`[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]`
const anySign = new RegExp(sign, 'gu')
const anyButLineEnd = new RegExp(String.raw`(?!\n)${sign}`, 'gu')

const known: Readonly<Record<string, string>> = { '\n': String.raw`\n`, '\r': String.raw`\r`, '\t': String.raw`\t` }

/**
 * What an export, PostHog or a person has named, so that it can neither command a terminal nor end a line nor show in
 * another order than it is: `\n`, `\u{1b}`, `\u{202e}`. Of what stands on one line; visible text stays as it is.
 */
export function visible(text: string): string {
  return text.replace(anySign, escapeOf)
}

/** The same of text in lines, which stay. */
export function visibleLines(text: string): string {
  return text.replace(anyButLineEnd, escapeOf)
}

/** JSON of the same value, on one line, with these signs as JSON's own escapes. */
export function visibleJson(value: unknown): string {
  return visibleInJson(JSON.stringify(value))
}

/** Lines of JSON as JSON of the same values. */
export function visibleInJson(json: string): string {
  return json.replace(anyButLineEnd, (found) => `\\u${hexOf(found).padStart(4, '0')}`)
}

function escapeOf(found: string): string {
  return known[found] ?? `\\u{${hexOf(found)}}`
}

function hexOf(character: string): string {
  return character.charCodeAt(0).toString(16)
}
