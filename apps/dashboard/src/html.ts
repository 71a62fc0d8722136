import { visibleLines } from '@heapferry/domain'

/** Markup that may stand in a page as it is. Only `html` makes it, so what comes from outside has been escaped. */
export interface Html {
  readonly markup: string
}

type Insertion = string | number | Html | readonly Html[]

/** A template whose parts are escaped unless they are markup themselves. Attributes need their quotes. */
export function html(template: TemplateStringsArray, ...parts: readonly Insertion[]): Html {
  return { markup: template.reduce((markup, text, index) => markup + markupOf(parts[index - 1] ?? '') + text) }
}

/** Not written as a template: compilers break up a template that holds the end of a script. */
export function script(source: string, kind: 'classic' | 'module' = 'classic'): Html {
  const how = kind === 'module' ? 'type="module"' : 'defer'
  return { markup: ['<script src="', escaped(source), `" ${how}></`, 'script>'].join('') }
}

function markupOf(part: Insertion): string {
  if (typeof part === 'string') return escaped(part)
  if (typeof part === 'number') return String(part)
  return 'markup' in part ? part.markup : part.map(({ markup }) => markup).join('')
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

function escaped(text: string): string {
  return visibleLines(text).replace(/[&<>"']/g, (character) => entities[character] ?? character)
}
