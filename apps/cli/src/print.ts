import { once } from 'node:events'

/** Standard output is for answers, standard error for what is going on meanwhile. */
export function answer(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** Any number of lines, as fast as they are taken. */
export async function answerLines(lines: AsyncIterable<string>): Promise<void> {
  for await (const line of lines) if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain')
}

/** What the export holds must not command the terminal. */
export function printable(text: string): string {
  return text.replaceAll(/[^\P{Cc}\n]/gu, '�')
}

export function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** Columns aligned: the first to the left, all others (numbers) to the right. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, ...rows]
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
