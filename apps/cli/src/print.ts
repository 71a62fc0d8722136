import { once } from 'node:events'
import { visible, visibleLines } from '@heapferry/domain'

/**
 * Standard output is for answers, standard error for what is going on meanwhile. Whatever they are given, no more of it than
 * a line's end reaches the terminal raw; where a foreign name stands on a line, `visible` keeps it there.
 */
export function answer(text: string): void {
  process.stdout.write(`${visibleLines(text)}\n`)
}

/** Any number of lines, as fast as they are taken. */
export async function answerLines(lines: AsyncIterable<string>): Promise<void> {
  for await (const line of lines) if (!process.stdout.write(`${visible(line)}\n`)) await once(process.stdout, 'drain')
}

export function say(text: string): void {
  process.stderr.write(`${visibleLines(text)}\n`)
}

/** Columns aligned: the first to the left, all others (numbers) to the right. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, ...rows].map((line) => line.map(visible))
  const widths = header.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)))
  return lines
    .map((line) =>
      line
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
