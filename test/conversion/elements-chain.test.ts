import { compileConverter } from '@heapferry/conversion'
import { conversionVersion, Mapping, RunId, type Table } from '@heapferry/domain'
import { noIdentities } from '@heapferry/migration'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { tries } from '../support/tries.ts'

const columns = [
  'user_id',
  'time',
  'type',
  'target_tag',
  'target_class',
  'target_id',
  'target_text',
  'href',
  'hierarchy',
]
const rawEvents: Table = { kind: 'raw_events', name: 'export' }

// What PostHog's grammar and Heap's are made of, and what breaks naive readers of either.
const sign = fc.constantFrom(
  '"',
  '\\',
  ';',
  ':',
  '.',
  '#',
  '[',
  ']',
  '=',
  '|',
  '@',
  ' ',
  '\n',
  'a',
  'b',
  '/',
  '💻',
  '\uD800',
)
const odd = fc.string({ unit: sign, maxLength: 12 })
const word = fc.stringMatching(/^[a-z][a-z0-9-]{0,5}$/)

test('PostHog can take every chain apart again, whatever stands in the row', () => {
  fc.assert(
    fc.property(fc.tuple(odd, odd, odd, odd, odd, odd), ([tag, classes, id, text, href, hierarchy]) => {
      const chain = chainOf([tag, classes, id, text, href, hierarchy])
      if (chain === undefined) return
      expect(read(chain)).not.toBeNull()
      expect(read(chain)).toHaveLength(1)
    }),
    { numRuns: tries(2000) },
  )
})

const element: fc.Arbitrary<Element> = fc.record({
  tag: fc.constantFrom('div', 'a', 'span', 'button', 'li'),
  id: fc.option(word, { nil: null }),
  classes: fc.uniqueArray(word, { maxLength: 3 }),
  attributes: fc.dictionary(
    fc.constantFrom('href', 'type', 'data-test', 'role'),
    fc
      .string({ unit: fc.constantFrom('a', 'b', ';', ' x', '"', ']', '|', '/'), maxLength: 6 })
      .filter((text) => !text.includes('];')),
    { maxKeys: 2 },
  ),
})
interface Element {
  tag: string
  id: string | null
  classes: string[]
  attributes: Record<string, string>
}

test('a hierarchy within a page gives its elements from the target outwards, in whichever order Heap wrote it', () => {
  fc.assert(
    fc.property(fc.array(element, { minLength: 1, maxLength: 5 }), fc.boolean(), (inside, isTargetFirst) => {
      const page: Element = { tag: 'html', id: null, classes: [], attributes: {} }
      const outwards = [...inside, page]
      const hierarchy = (isTargetFirst ? outwards : outwards.toReversed()).map(heapText).join('')
      const chain = chainOf([null, null, null, 'Buy', null, hierarchy]) ?? ''
      expect(read(chain)?.map(({ tag, classes, values }) => ({ tag, classes, id: values['attr_id'] ?? null }))).toEqual(
        outwards.map(({ tag, classes, id }) => ({ tag, classes: classes.toSorted(), id })),
      )
      expect(read(chain)?.map(({ values }) => values['text'])).toEqual(['Buy', ...inside.map(() => undefined)])
    }),
    { numRuns: tries(500) },
  )
})

test('autocapture changes the name of a raw click and adds to its properties: uuid, time and person stay', () => {
  for (const type of ['click', 'Click On', 'change', 'submit', 'touch', 'Sign Up', 'view page']) {
    const row = ['1', '2023-01-02 03:04:05', type, 'a', 'btn', null, 'Buy', '/buy', null]
    const [before, after] = [false, true].map((autocapture) => convert(row, Mapping.parse({ autocapture })))
    expect(after).toEqual({
      ...before,
      event: ['Sign Up', 'view page'].includes(type) ? before?.event : '$autocapture',
      properties: { ...before?.properties, ...after?.properties },
    })
  }
})

test('the text of an element is what PostHog keeps of it: one line of 400 characters at most', () => {
  const text = `  Buy\n\tnow ${'x'.repeat(500)}`
  const [target] = read(chainOf(['a', null, null, text, null, null]) ?? '') ?? []
  expect(target?.values['text']).toBe(`Buy now ${'x'.repeat(500)}`.slice(0, 400))
  const emoji = `${'x'.repeat(399)}💻`
  expect(read(chainOf(['a', null, null, emoji, null, null]) ?? '')?.[0]?.values['text']).toBe('x'.repeat(399))
})

function heapText({ tag, id, classes, attributes }: Element): string {
  const parts = [
    ...classes.map((one) => `.${one};`),
    ...(id === null ? [] : [`#${id};`]),
    ...Object.entries(attributes).map(([name, value]) => `[${name}=${value}];`),
  ]
  return `@${tag};${parts.join('')}|`
}

function chainOf(target: readonly (string | null)[]): string | undefined {
  const event = convert(['1', '2023-01-02 03:04:05', 'click', ...target], Mapping.parse({ autocapture: true }))
  return z.string().optional().parse(event.properties['$elements_chain'])
}

function convert(row: readonly (string | null)[], mapping: Mapping) {
  const conversion = compileConverter(rawEvents, columns, {
    run: RunId.parse('chains'),
    conversion: conversionVersion,
    mapping,
    startedAtMs: Date.UTC(2024, 0, 1),
    includeRecent: false,
    identities: noIdentities,
    hash: null,
  })([...row])
  if (conversion.kind !== 'event') throw new Error(`expected an event, got ${JSON.stringify(conversion)}`)
  return conversion.event
}

/** The elements of a chain as PostHog reads them; null where it cannot. Names of values have to be in order. */
function read(chain: string): { tag: string; classes: string[]; values: Record<string, string> }[] | null {
  const elements = chain.match(/(?:[^";]|"(?:[^"\\]|\\.)*")+/g) ?? []
  if (elements.join(';') !== chain) return null
  const all = elements.map((text) => {
    const [, name = '', values] = /^([^"]*?):((?:[\w-]+="(?:[^"\\]|\\.)*")+)$/s.exec(text) ?? []
    if (values === undefined) return null
    const pairs = [...values.matchAll(/([\w-]+)="((?:[^"\\]|\\.)*)"/gs)].map(([, key = '', value = '']) => [key, value])
    const isSorted = pairs.every(([key = ''], index) => index === 0 || (pairs[index - 1]?.[0] ?? '') < key)
    if (!isSorted || /\s/.test(name)) return null
    const [tag = '', ...classes] = name.split('.')
    return { tag, classes, values: Object.fromEntries(pairs) }
  })
  return all.some((one) => one === null) ? null : all.filter((one) => one !== null)
}
