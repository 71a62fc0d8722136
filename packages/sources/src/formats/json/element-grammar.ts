/**
 * JSON's grammar, byte by byte, as far as it tells where a value ends: by what has come before (one of the states) and the
 * next byte, either the state that follows or one of the steps, which depend on what is open. How numbers, words and escapes
 * are spelt is left to the parser.
 */
export const expectsValue = 0
export const expectsValueOrEnd = 1
export const expectsKey = 2
export const expectsKeyOrEnd = 3
export const expectsColon = 4
export const expectsCommaOrEnd = 5
const inLiteral = 6
/** Strings are told apart by what follows them. */
export const inText = 7
export const inKey = 8

export const openObject = 16
export const openArray = 17
export const closeObject = 18
export const closeArray = 19
export const nextItem = 20
export const notJson = 255

/** At `state * 256 + byte`. Strings are not in it: in them any byte may follow. */
export const grammar: Uint8Array = new Uint8Array(inText * 256).fill(notJson)

function allow(states: readonly number[], bytes: string, step?: number): void {
  for (const state of states) {
    for (const byte of Buffer.from(bytes)) grammar[state * 256 + byte] = step ?? state
  }
}

const values = [expectsValue, expectsValueOrEnd]
const keys = [expectsKey, expectsKeyOrEnd]
// A literal ends with the byte behind it.
const ends = [expectsCommaOrEnd, inLiteral]
const literal = '0123456789+-.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'

allow([...values, ...keys, expectsColon, expectsCommaOrEnd], ' \t\r\n')
allow([inLiteral], ' \t\r\n', expectsCommaOrEnd)
allow([...values, inLiteral], literal, inLiteral)
allow(values, '"', inText)
allow(keys, '"', inKey)
allow([expectsColon], ':', expectsValue)
allow(values, '{', openObject)
allow(values, '[', openArray)
allow([...ends, expectsKeyOrEnd], '}', closeObject)
allow([...ends, expectsValueOrEnd], ']', closeArray)
allow(ends, ',', nextItem)
