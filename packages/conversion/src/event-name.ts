import type { Conversion, Mapping, Table, Values } from '@heapferry/domain'
import type { CellReader, CompiledColumns } from './compile-columns.ts'
import { utf8Bytes } from './distinct-id.ts'
import { reject } from './outcomes.ts'
import { storableText } from './storable-text.ts'

/** PostHog's limit, in UTF-8 bytes. */
const eventNameMaxBytes = 200

/** How PostHog calls what its own libraries have recorded by themselves. */
export const autocaptured = '$autocapture'

/** @param event what the mapping calls it */
export function compileEventName(
  table: Table,
  event: string | undefined,
  compiled: CompiledColumns,
  { autocapture }: Pick<Mapping, 'autocapture'>,
): (values: Values, isNative: boolean) => string {
  if (table.kind === 'raw_events' && event === undefined) return compileRawName(compiled, autocapture)
  if (event === undefined && autocapture && interactionOfTable(table) !== undefined) return () => autocaptured
  const isPageviews = table.kind === 'pageviews'
  const pageName = storableText(event ?? (isPageviews ? '$pageview' : table.name))
  const screenName = storableText(event ?? (isPageviews ? '$screen' : table.name))
  return (_, isNative) => (isNative ? screenName : pageName)
}

/** Whether a row is of a screen and no page: it names the event, also where the mapping lets nobody see by which columns. */
export function compileIsNative(compiled: CompiledColumns): (values: Values) => boolean {
  const libraryCell = compiled.keyCell('library')
  const viewControllerCell = compiled.keyCell('view_controller')
  const pathCell = compiled.keyCell('path')
  return (values) =>
    isNativeLibrary(libraryCell(values)) || (viewControllerCell(values) !== null && pathCell(values) === null)
}

/** The row's `type`, else its `object`. */
export function compileAction(cellOf: (column: string) => CellReader): (values: Values) => string {
  const typeCell = cellOf('type')
  const objectCell = cellOf('object')
  return (values) => (typeCell(values) ?? objectCell(values) ?? 'unknown action').trim()
}

/** Undefined where PostHog takes the name. */
export function rejectEventName(name: string): Conversion | undefined {
  // No UTF-16 unit takes more than three bytes: nearly all names need no counting.
  const bytes = name.length * 3 <= eventNameMaxBytes ? 0 : utf8Bytes(name)
  if (bytes <= eventNameMaxBytes) return undefined
  return reject('event_name_too_long', `the event's name has ${bytes} bytes, PostHog takes ${eventNameMaxBytes}`)
}

const interactions: ReadonlyMap<string, string> = new Map([
  ['click', 'click'],
  ['click on', 'click'],
  ['change', 'change'],
  ['change on', 'change'],
  ['submit', 'submit'],
  ['submit on', 'submit'],
  ['touch', 'touch'],
  ['touch on', 'touch'],
  ['tap', 'touch'],
])

/** PostHog's `$event_type` of what Heap has recorded by itself; undefined for what an application has told it. */
export function interactionOf(type: string): string | undefined {
  return interactions.get(type.trim().toLowerCase())
}

/** The same of a table with which Heap delivers all clicks, or all changes, whatever was clicked. */
export function interactionOfTable({ kind, name }: Table): string | undefined {
  const [, type = ''] = /^core_events_([a-z]+)_any_/.exec(name) ?? []
  return kind === 'event' ? interactionOf(type) : undefined
}

/** How the one-time export calls the view of a page. */
const pageViews: ReadonlySet<string> = new Set(['pageview', 'page view', 'view page', 'view_page'])

/** The event's name from what the row says it is. PostHog keeps names with `$` for itself. */
function compileRawName(
  compiled: CompiledColumns,
  autocapture: boolean,
): (values: Values, isNative: boolean) => string {
  const actionOf = compileAction(compiled.cell)
  return (values, isNative) => {
    const action = actionOf(values)
    if (pageViews.has(action.toLowerCase())) return isNative ? '$screen' : '$pageview'
    if (autocapture && interactionOf(action) !== undefined) return autocaptured
    return action.startsWith('$') ? `heap_${action}` : action
  }
}

function isNativeLibrary(library: string | null): boolean {
  if (library === null || library === 'web') return false
  const lower = library.toLowerCase()
  return lower === 'ios' || lower === 'android'
}
