import { type ExportPlan, grouped, suggestedCasts, type TablePlan } from '@heapferry/migration'
import { figure } from './figure-text.ts'

/**
 * A mapping file for an export, to be changed by a person. As it is it changes nothing. It holds names and counts: no
 * value of any row.
 */
export function mappingTemplate(plan: Pick<ExportPlan, 'source' | 'tables'>, { schema }: { schema: string }): string {
  const source = JSON.stringify(plan.source)
  return `# yaml-language-server: $schema=${schema}
#
# The mapping of ${source}. As it is, it changes nothing.
# docs/mapping.md explains every key. To see what a change does:
#
#   heapferry plan SOURCE --mapping THIS-FILE
#
# All names are in lower case, as heapferry reads them.

# set: values of users go over what the project holds; set_once: they do not;
# skip: people get no properties.
persons: set

# full: PostHog makes a person of every id; personless: not of those ids that
# the export knows nothing about.
anonymous: full

# hash: people are named by a hash of their identity (with HEAPFERRY_HASH_SALT).
identity: keep

# true: raw clicks, changes and submits become $autocapture, with the elements
# that PostHog's actions look for.
autocapture: false

# What rows get that they do not say themselves: sessions: referrer, campaign,
# browser, device from their session; pages: the page from the pageview before;
# [sessions, pages]; none.
enrich: sessions

# What becomes of a column, in all tables: drop, hash, number, boolean, date,
# or { name: another_name }. hash wants HEAPFERRY_HASH_SALT to be set.
properties:
${[...personalLines(plan), ...castLines(plan)].join('\n')}

# Properties that all events get.
static:
  # imported_from: heap

# Accounts and the like: the column that names them, and columns of users that
# say something of them.
groups:
  # company: { key: account_id, properties: [plan] }

# Which events are sent; the others are counted as skipped.
filter:
  # from: 2020-01-01
  # to: 2024-01-01
  # tables: { exclude: ["test_*"] }
  # where: { environment: { equals: production } }

# What is said of one table goes before what is said of all. To call an event
# otherwise, put the second line in place of the first.
tables:
${plan.tables.flatMap((one) => tableLines(one, typesOf(plan), proposedNames(plan))).join('\n')}
`
}

function personalLines({ tables }: Pick<ExportPlan, 'tables'>): string[] {
  const tablesOf = new Map<string, string[]>()
  for (const { table, columns } of tables)
    for (const { column } of columns) tablesOf.set(column, [...(tablesOf.get(column) ?? []), table])
  const lines = [...tablesOf]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([column, where]) => {
      const rule = ruleForPersonal(column)
      return rule === null ? [] : [`  # ${yamlText(column)}: ${rule}  # ${someOf(where)}`]
    })
  return lines.length === 0
    ? ['  # No column has a name that suggests personal data.']
    : ['  # Personal data, by the names of the columns. Decide about each of them.', ...lines]
}

function castLines({ tables }: Pick<ExportPlan, 'tables'>): string[] {
  const casts = suggestedCasts(tables).filter(({ column }) => ruleForPersonal(column) === null)
  if (casts.length === 0) return []
  return [
    '  # Text that is something else throughout, as far as rows were sampled.',
    ...casts.map(({ column, as, values, exceptions, tables: where }) => {
      const few = exceptions === 0 ? 'all' : `all but ${grouped(exceptions)}`
      return `  # ${yamlText(column)}: ${as}  # ${few} of ${grouped(values)} values; ${someOf(where)}`
    }),
  ]
}

const hashedWords = /^(?:e?mails?|phones?|tel|telephone|mobile|msisdn|fax|username|handle|login)$/
const droppedWords =
  /^(?:address(?:es)?|street|zip|zipcode|postal|postcode|latitude|longitude|lat|lng|ip|birth|birthday|birthdate|dob|gender|ssn|passport|iban|card|password|passwd|token|secret)$/
const nameOfPerson =
  /^(?:first|last|middle|full|family|given|nick|maiden|contact|customer|display)_?name$|^(?:sur)?name$/

/** What is mostly wanted for a column whose name suggests that it is about a person; null for all others. */
function ruleForPersonal(column: string): 'hash' | 'drop' | null {
  if (isOfTheEvent.has(column)) return null
  const bare = column.replace(/^_+/, '').replace(/^initial_/, '')
  if (nameOfPerson.test(bare)) return 'drop'
  const words = bare.split(/[^a-z0-9]+/)
  if (bare === 'user_name' || words.some((word) => hashedWords.test(word))) return 'hash'
  return words.some((word) => droppedWords.test(word)) ? 'drop' : null
}

/** They cannot be changed. */
const isOfTheEvent: ReadonlySet<string> = new Set(['user_id', 'identity'])

const tablesShown = 3

function someOf(tables: readonly string[]): string {
  const more = tables.length - tablesShown
  return tables.slice(0, tablesShown).map(yamlText).join(', ') + (more > 0 ? ` and ${more} more` : '')
}

/**
 * Better names for the events of tables: Heap's own, else the words of the table's name; none that two tables would have.
 * They stand in comments: another name makes another event of a row, which PostHog keeps beside the one it has.
 */
function proposedNames({ tables }: Pick<ExportPlan, 'tables'>): Map<string, string> {
  const names = tables
    .filter(({ kind }) => kind === 'event')
    .map(({ table, heap_name }): [string, string] => [table, heap_name ?? wordsOf(table)])
  const all = names.map(([, name]) => name)
  return new Map(
    names.filter(([table, name]) => name !== '' && name !== table && all.indexOf(name) === all.lastIndexOf(name)),
  )
}

/** `Signup Click` of `signup_click`. */
function wordsOf(table: string): string {
  const words = table.split(/[^\p{L}\p{N}]+/u).filter((word) => word !== '')
  return words.map((word) => word.replace(/^./u, (sign) => sign.toUpperCase())).join(' ')
}

function tableLines(one: TablePlan, types: readonly string[], proposed: ReadonlyMap<string, string>): string[] {
  const { table, kind, rows, time, event_names, columns } = one
  const name = yamlText(table)
  const span = time === null ? '' : `, ${time.from.slice(0, 10)} to ${time.to.slice(0, 10)}`
  const own = columns.filter(({ column, becomes }) =>
    becomes.some((property) => property === column || property === `$set.${column}`),
  )
  const head = (becomes: string): string[] => [
    '',
    ...comment(`${name}: ${figure(rows)} rows${span}; ${becomes}`),
    ...(own.length === 0
      ? []
      : comment(`columns under their own names: ${own.map(({ column }) => yamlText(column)).join(', ')}`)),
  ]
  switch (kind) {
    case 'event':
      return [...head('events'), `  ${name}:`, `    event: ${name}`, ...proposal(one, proposed.get(table))]
    case 'pageviews':
      return [...head('$pageview, and $screen for those of apps'), `  # ${name}:`, '  #   static: { section: site }']
    case 'raw_events':
      return [
        ...head('events by their types'),
        ...event_names.filter((event) => types.includes(event)).flatMap(typeLines),
      ]
    case 'users':
      return [...head('people'), `  # ${name}:`, '  #   static: { imported_from: heap }']
    case 'user_migrations':
    case 'identify':
      return head('joins the ids of people')
    default:
      return head('nothing becomes of it')
  }
}

function proposal({ heap_name }: TablePlan, name: string | undefined): string[] {
  if (name === undefined) return []
  return [`    # event: ${yamlText(name)}${heap_name === undefined ? '' : '  # its name in Heap'}`]
}

/** Events of the one-time export that are called as their type is, and whose type is found by its name alone. */
function typesOf({ tables }: Pick<ExportPlan, 'tables'>): string[] {
  const events = tables.filter(({ kind }) => kind === 'raw_events').flatMap(({ event_names }) => event_names)
  const keys = [...tables.map(({ table }) => table), ...events.map((event) => event.toLowerCase())]
  const isAlone = (key: string): boolean => keys.indexOf(key) === keys.lastIndexOf(key)
  return events.filter((event) => !event.includes('$') && isAlone(event.toLowerCase()))
}

function typeLines(event: string): string[] {
  return [`  ${yamlText(event.toLowerCase())}:`, `    event: ${yamlText(event)}`]
}

const width = 80

/** Lines of a comment; there is no line end in what was quoted. */
function comment(text: string): string[] {
  const lines: string[] = []
  let line = '  #'
  for (const word of text.split(' ')) {
    if (line.length + 1 + word.length > width && line !== '  #') {
      lines.push(line)
      line = '  #  '
    }
    line += ` ${word}`
  }
  return [...lines, line]
}

/** As YAML reads it back, on one line, whatever it holds. */
function yamlText(text: string): string {
  if (/^[a-z_][a-z0-9_]*$/.test(text) && !wordsOfYaml.has(text)) return text
  return JSON.stringify(text).replaceAll(
    /[\u007f-\u009f\u2028\u2029\ufeff]/g,
    (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** Also those of older versions, which editors may go by. */
const wordsOfYaml: ReadonlySet<string> = new Set(['null', 'true', 'false', 'yes', 'no', 'on', 'off', 'y', 'n'])
