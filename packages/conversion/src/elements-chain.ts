import type { Values } from '@heapferry/domain'
import type { CompiledColumns } from './compile-columns.ts'

/** One element of a page, as far as Heap tells it. Attributes by name, without class and id. */
interface PageElement {
  tag: string | null
  id: string | null
  classes: readonly string[]
  attributes: ReadonlyMap<string, string>
}

/**
 * PostHog's `$elements_chain` of what was clicked, changed or submitted: the target, and behind it the elements around it
 * where `hierarchy` tells them. Null where the row says nothing of either.
 *
 * The form is that of PostHog's elements-chain.ts: elements from the target outwards, divided by `;`, each
 * `tag.class:name="value"…` with classes and names sorted. PostHog knows no position of an element by 0.
 */
export function compileElementsChain(compiled: CompiledColumns): (values: Values) => string | null {
  const tagCell = compiled.cell('target_tag')
  const idCell = compiled.cell('target_id')
  const classCell = compiled.cell('target_class')
  const textCell = compiled.cell('target_text')
  const hrefCell = compiled.cell('href')
  const hierarchyCell = compiled.cell('hierarchy')

  return (values) => {
    const text = textCell(values)
    const href = hrefCell(values)
    const named: PageElement = {
      tag: tagCell(values)?.trim().toLowerCase() ?? null,
      id: idCell(values)?.trim() ?? null,
      classes: classesIn(classCell(values) ?? ''),
      attributes: new Map(),
    }
    const [inPage, ...around] = fromTarget(elementsIn(hierarchyCell(values) ?? ''), named)
    const target: PageElement = {
      tag: named.tag ?? inPage?.tag ?? null,
      id: named.id ?? inPage?.id ?? null,
      classes: named.classes.length > 0 ? named.classes : (inPage?.classes ?? []),
      attributes: new Map([...(inPage?.attributes ?? []), ...(href === null ? [] : ([['href', href]] as const))]),
    }
    if (text === null && !isKnown(target) && target.attributes.size === 0) return null
    return [elementText(target, text), ...around.map((element) => elementText(element, null))].join(';')
  }
}

/** Divided by spaces, or as in a selector: `.btn.primary`. */
function classesIn(text: string): string[] {
  const trimmed = text.trim()
  return trimmed.split(trimmed.startsWith('.') ? '.' : /\s+/).filter((one) => one !== '')
}

// `@a;.btn;.wide;#buy;[href=/cart];|`: each part ends with a semicolon, each element with a bar.
const elementForm = /@([^;|]+);((?:[#.][^;]*;|\[[^\]=;]+(?:=(?:[^\]]|\](?!;))*)?\];)*)(?:\||$)/y
const partForm = /([#.])([^;]*);|\[([^\]=;]+)(?:=((?:[^\]]|\](?!;))*))?\];/g

/** The elements that Heap's `hierarchy` names, in its order; none where it has another form. */
function elementsIn(hierarchy: string): PageElement[] {
  const elements: PageElement[] = []
  elementForm.lastIndex = 0
  while (elementForm.lastIndex < hierarchy.length) {
    const [found, tag = '', parts = ''] = elementForm.exec(hierarchy) ?? []
    if (found === undefined) return []
    let id: string | null = null
    const classes: string[] = []
    const attributes = new Map<string, string>()
    for (const [, sign, name = '', attribute, value = ''] of parts.matchAll(partForm)) {
      if (sign === '.') classes.push(name)
      else if (sign === '#') id = name
      else if (attribute !== undefined) attributes.set(attribute.trim().toLowerCase(), value)
    }
    elements.push({ tag: tag.trim().toLowerCase(), id, classes, attributes })
  }
  return elements
}

/**
 * The same from the target outwards; none where nobody can tell which end is the target. Heap's documentation does not say
 * in which order it writes them, so the row has to: by what it says of the target, else by the page around it.
 */
function fromTarget(elements: readonly PageElement[], named: PageElement): readonly PageElement[] {
  const [first] = elements
  const last = elements.at(-1)
  if (first === undefined || last === undefined) return []
  const outwards = elements.toReversed()
  const [isFirst, isLast] = [canBe(first, named), canBe(last, named)]
  if (!isFirst && !isLast) return []
  if (elements.length === 1 || (isFirst && !isLast)) return elements
  if (isLast && !isFirst) return outwards
  const inside = pageRank(last) - pageRank(first)
  return inside > 0 ? elements : inside < 0 ? outwards : []
}

function isKnown({ tag, id, classes }: PageElement): boolean {
  return tag !== null || id !== null || classes.length > 0
}

/** Whether what is said of the target goes for the element. */
function canBe(element: PageElement, { tag, id, classes }: PageElement): boolean {
  return (
    (tag === null || tag === element.tag) &&
    (id === null || id === element.id) &&
    classes.every((one) => element.classes.includes(one))
  )
}

/** What of a page is around everything else. */
function pageRank({ tag }: PageElement): number {
  return tag === 'html' ? 2 : tag === 'body' ? 1 : 0
}

// PostHog's limits, in UTF-16 units.
const textMaxLength = 400
const valueMaxLength = 2048

/** Names of attributes with other signs PostHog does not find again in a chain. */
const readableName = /^[\w-]+$/

function elementText({ tag, id, classes, attributes }: PageElement, text: string | null): string {
  const readable = classes.map((one) => one.replace(/[\s";]/g, '')).filter((one) => one !== '')
  const named: [string, string][] = [
    ...[...attributes]
      .filter(([name]) => readableName.test(name) && name !== 'class' && name !== 'id')
      .map(([name, value]): [string, string] => [`attr__${name}`, value]),
    ['attr__class', readable.join(' ')],
    ['attr__id', id ?? ''],
    ['attr_id', id ?? ''],
    ['href', attributes.get('href') ?? ''],
    ['nth-child', '0'],
    ['nth-of-type', '0'],
    ['text', text ?? ''],
  ]
  const tagText = tag !== null && readableName.test(tag) ? tag : ''
  const classText = readable.toSorted().map((one) => `.${one}`)
  const valueText = named
    .filter(([, value]) => value !== '')
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}="${quotable(value, name === 'text' ? textMaxLength : valueMaxLength)}"`)
  return `${tagText}${classText.join('')}:${valueText.join('')}`
}

/**
 * On one line, without half a character at its end. PostHog takes a quote behind a backslash for text, so no other
 * backslash may stand before one.
 */
function quotable(value: string, maxLength: number): string {
  return value
    .replaceAll(/\s+/g, ' ')
    .trim()
    .slice(0, maxLength)
    .replace(/[\uD800-\uDBFF]$/, '')
    .replaceAll(/\\*"/g, '\\"')
    .replace(/(?<!\\)\\+$/, '')
}
