/**
 * User ids as signed 64-bit integers, two 32-bit words each and the low one first: so a BigInt64Array sorts them natively,
 * and an Int32Array over the same buffer reads them without making a bigint of each. (Little-endian, as all processors
 * are that Node is commonly run on.)
 */
export function wordsOf(ids: BigInt64Array): Int32Array {
  return new Int32Array(ids.buffer, ids.byteOffset, ids.length * 2)
}

const word = 2 ** 32

/** @param text canonical decimal of a signed 64-bit integer */
export function writeId(text: string, into: Int32Array): void {
  const number = Number(text)
  const high = Number.isSafeInteger(number) ? Math.floor(number / word) : Number(BigInt(text) >> 32n)
  into[0] = Number.isSafeInteger(number) ? number - high * word : Number(BigInt.asIntN(32, BigInt(text)))
  into[1] = high
}

export function idText(words: Int32Array, index: number): string {
  const low = at(words, index * 2) >>> 0
  const high = at(words, index * 2 + 1)
  const number = high * word + low
  return String(Number.isSafeInteger(number) ? number : (BigInt(high) << 32n) + BigInt(low))
}

/** Sorts ids in place. @returns the part of the array that then holds each of them once */
export function sortedIds(ids: BigInt64Array): BigInt64Array {
  ids.sort()
  const words = wordsOf(ids)
  let kept = 0
  for (let index = 0; index < ids.length; index++) {
    if (index > 0 && compareIds(words, index, words, kept - 1) === 0) continue
    words[kept * 2] = at(words, index * 2)
    words[kept * 2 + 1] = at(words, index * 2 + 1)
    kept++
  }
  return ids.subarray(0, kept)
}

/** Where an id stands among ids that are sorted; -1 where it does not. */
export function findId(sorted: Int32Array, low: number, high: number): number {
  let from = 0
  let to = sorted.length / 2 - 1
  const unsignedLow = low >>> 0
  while (from <= to) {
    const middle = (from + to) >>> 1
    const middleHigh = at(sorted, middle * 2 + 1)
    const difference = middleHigh === high ? (at(sorted, middle * 2) >>> 0) - unsignedLow : middleHigh - high
    if (difference === 0) return middle
    if (difference < 0) from = middle + 1
    else to = middle - 1
  }
  return -1
}

export function compareIds(a: Int32Array, indexOfA: number, b: Int32Array, indexOfB: number): number {
  const high = at(a, indexOfA * 2 + 1) - at(b, indexOfB * 2 + 1)
  return high === 0 ? (at(a, indexOfA * 2) >>> 0) - (at(b, indexOfB * 2) >>> 0) : high
}

/** An element that is known to be there. @throws RangeError */
export function at(array: Int32Array, index: number): number {
  const value = array[index]
  if (value === undefined) throw new RangeError(`${index} is outside of ${array.length}`)
  return value
}

/** One bit for each of so many places. */
export function bitsFor(count: number): Uint8Array {
  return new Uint8Array(Math.ceil(count / 8))
}

export function setBit(bits: Uint8Array, place: number): void {
  bits[place >>> 3] = (bits[place >>> 3] ?? 0) | (1 << (place & 7))
}

export function hasBit(bits: Uint8Array, place: number): boolean {
  return (((bits[place >>> 3] ?? 0) >>> (place & 7)) & 1) === 1
}
