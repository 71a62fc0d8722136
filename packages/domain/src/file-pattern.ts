const mostStars = 3

/**
 * Whether matching a pattern of files could take long: each star of a name can stand for any part of it, and all ways are
 * tried. Three of them in a name of 255 signs are some million ways.
 */
export function isSlowPattern(pattern: string): boolean {
  const parts = pattern.split('/')
  return parts.some((part) => stars(part) > mostStars) || parts.filter((part) => part === '**').length > mostStars
}

function stars(text: string): number {
  return text.match(/\*+/g)?.length ?? 0
}
