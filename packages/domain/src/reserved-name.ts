/** What heapferry calls itself and its roles where it says who did something. */
const reserved = new Set([
  'heapferry',
  'dashboard',
  'operator',
  'viewer',
  'operatortoken',
  'viewertoken',
  'worker',
  'system',
])

/**
 * Whether a person of that name would be taken for heapferry itself, or for a role: whatever its case, its punctuation and the
 * width of its letters, and with letters of two alphabets, which look alike.
 */
export function isReservedName(name: string): boolean {
  const letters = name
    .normalize('NFKC')
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]/gu, '')
  const isMixed = /\p{Script=Latin}/u.test(letters) && /[\p{Script=Cyrillic}\p{Script=Greek}]/u.test(letters)
  return reserved.has(letters) || isMixed
}
