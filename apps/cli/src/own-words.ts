import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { codeFolders } from './installation.ts'

const word = String.raw`[A-Za-z(][\w.,:;()/’'-]*`
const pair = new RegExp(`(${word}) (?=(${word}))`, 'g')
const literal = /'([A-Za-z][\w ]*)'|"([A-Za-z][\w ]*)"/g

/**
 * What of a text heapferry itself says. Nobody can list what personal data looks like, but what is in this program's own code is
 * none: two words in a row that stand so in the code stay, and so does a text that is one of its literals; all else is `…`.
 */
export interface OwnWords {
  /** `s3://acme/ann@example.com: 4 files, found 3` → `… files, found …`. */
  of(text: string): string
  /** Whether the text as a whole is a word of the program, such as the name of a state. */
  has(text: string): boolean
}

/** Reads all of the program's code: 50 ms. */
export function ownWords(): OwnWords {
  const pairs = new Set<string>()
  const literals = new Set<string>()
  for (const text of code()) {
    for (const [, first, second] of text.matchAll(pair)) pairs.add(`${first} ${second}`)
    for (const [, single, double] of text.matchAll(literal)) literals.add(single ?? double ?? '')
  }
  return {
    has: (text) => literals.has(text),
    of(text) {
      const words = text.split(' ')
      const kept = words.map((one, at) =>
        pairs.has(`${words[at - 1]} ${one}`) || pairs.has(`${one} ${words[at + 1]}`) ? one : '…',
      )
      return kept.filter((one, at) => one !== '…' || kept[at - 1] !== '…').join(' ')
    },
  }
}

function* code(): Generator<string> {
  for (const folder of codeFolders)
    for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' }))
      if (/\.(?:mjs|ts)$/.test(file)) yield readFileSync(path.join(folder, file), 'utf8')
}
