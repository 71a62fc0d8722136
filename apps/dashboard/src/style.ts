import { browserFile } from './browser-file.ts'

/** Dark and light as the reader's system has it; each has a contrast of 4.5 to 1 at least where it is text. */
export const colours = {
  light: {
    paper: '#f7f7f5',
    card: '#fff',
    ink: '#1c1e21',
    soft: '#5c636b',
    line: '#dcdedb',
    link: '#0b57c2',
    good: '#1a7f37',
    warn: '#8a5a00',
    bad: '#c02626',
  },
  dark: {
    paper: '#14171a',
    card: '#1c2024',
    ink: '#e6e8ea',
    soft: '#9aa3ab',
    line: '#33393f',
    link: '#7db1ff',
    good: '#5fc97b',
    warn: '#e5b04d',
    bad: '#ff8080',
  },
} as const

export type Colours = (typeof colours)[keyof typeof colours]

const properties = (scheme: Colours) =>
  Object.entries(scheme)
    .map(([name, colour]) => `--${name}: ${colour};`)
    .join(' ')

/** What all of our pages look like. */
export const style = `:root { ${properties(colours.light)} }
@media (prefers-color-scheme: dark) { :root { ${properties(colours.dark)} } }
${browserFile('style.css')}`
