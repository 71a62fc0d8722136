import { readFileSync } from 'node:fs'
import { defaultMapping, Mapping, OperatorError } from '@heapferry/domain'
import { LineCounter, parseDocument } from 'yaml'

/**
 * Reads a mapping file (YAML, of which JSON is a part).
 * @throws OperatorError that names every fault with its line
 */
export function loadMapping(file: string | undefined): Mapping {
  if (file === undefined) return defaultMapping
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw new OperatorError(`The mapping file ${file} cannot be read`, 'Check the path given with --mapping.', {
      cause,
    })
  }
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const broken = document.errors.map((error) => `line ${lines.linePos(error.pos[0]).line}: ${error.message}`)
  if (broken.length > 0) throw faulty(file, broken)

  const parsed = Mapping.safeParse(document.toJS() ?? {})
  if (parsed.success) return parsed.data
  throw faulty(
    file,
    parsed.error.issues.map((issue) => {
      const place = lineOf(issue.path)
      return `${place}${issue.path.join('.') || 'the file'}: ${issue.message}`
    }),
  )

  /** The line of the faulty value, or of what it should stand in. */
  function lineOf(path: readonly PropertyKey[]): string {
    for (let length = path.length; length >= 0; length--) {
      const node = document.getIn(path.slice(0, length), true)
      const range = typeof node === 'object' && node !== null && 'range' in node ? node.range : undefined
      if (Array.isArray(range) && typeof range[0] === 'number') return `line ${lines.linePos(range[0]).line}: `
    }
    return ''
  }
}

function faulty(file: string, faults: string[]): OperatorError {
  return new OperatorError(
    `${file} is not a mapping file:\n  ${faults.join('\n  ')}`,
    'docs/mapping.md explains every key.',
  )
}
