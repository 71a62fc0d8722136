import { visible } from '@heapferry/domain'

export const width = 80

/** Lines of 80 characters: the first after `lead`, all others below its text. */
export function wrapped(text: string, lead: string): string[] {
  const room = width - lead.length
  const lines: string[] = []
  let line = ''
  for (const word of visible(text)
    .split(/\s+/)
    .flatMap((one) => one.match(new RegExp(`.{1,${room}}`, 'gsu')) ?? [])) {
    if (line !== '' && line.length + 1 + word.length > room) {
      lines.push(line)
      line = ''
    }
    line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line].map((one, nth) => (nth === 0 ? lead : ' '.repeat(lead.length)) + one)
}

/** Lines in sections with an empty line between them; those without a line are left out. */
export function sectionsText(sections: readonly (readonly string[])[]): string {
  return sections
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n')
}
