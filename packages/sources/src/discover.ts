import { realpath, readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { OperatorError } from '@heapferry/domain'
import { glob, isDynamicPattern } from 'tinyglobby'

/** What a SOURCE on this machine holds. Paths are relative to `root`, with `/`, sorted. */
export interface Discovery {
  root: string
  paths: string[]
  /** Files that are no tables by their names (notes, checksums): named to the user, not read. */
  ignored: string[]
}

const tableFile = /(?:\.(?:csv|tsv|psv|txt)|^[^.]+|_part_\d+|\.\d+)$/i
const dataOfOtherFormats = /\.(?:gz|gzip|zst|zstd|bz2|zip|xz|7z|tar|parquet|avro|orc|json|jsonl|ndjson|xlsx?)$/i
// Notes that writers leave beside the data: success markers, manifests, checksums, what an editor or a desktop adds.
const note =
  /^(?:\..*|_SUCCESS|_committed_.*|_started_.*|(?:.*[._-])?manifest|.*\.(?:md|crc|md5|sha256|log|html|pdf|yaml|yml)|Thumbs\.db|readme(?:\.txt)?|licen[cs]e(?:\.txt)?)$/i

/**
 * The files of a SOURCE: a file, a folder with everything below it, or a glob.
 * @throws OperatorError when there is nothing to read, or something that cannot be read and must not be left out silently
 */
export async function discover(source: string): Promise<Discovery> {
  const found = await stat(source).catch(() => null)
  if (!found && isDynamicPattern(source)) return ofGlob(source)
  if (!found) {
    throw new OperatorError(
      `${source}: no such file or folder`,
      'Give the path of a CSV file, of a folder with CSV files, or a glob in quotes such as "export/*.csv".',
    )
  }
  if (!found.isDirectory()) {
    const file = await realpath(source)
    return { root: path.dirname(file), paths: [path.basename(file)], ignored: [] }
  }
  const root = await realpath(source)
  const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch((cause: unknown) => {
    throw new OperatorError(
      `${source} cannot be listed: ${cause instanceof Error ? cause.message : String(cause)}`,
      'Check that this user may read the folder and everything below it.',
      { cause },
    )
  })
  const files = entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)).split(path.sep).join('/'))
    .filter((file) => !file.split('/').some((part) => part.startsWith('.')))
  return choose(source, root, files)
}

async function ofGlob(pattern: string): Promise<Discovery> {
  const files = await glob(pattern, { absolute: true, onlyFiles: true, expandDirectories: false })
  const [first] = files
  if (first === undefined) {
    throw new OperatorError(
      `${pattern} matches no file`,
      'Check the pattern; quote it so that the shell leaves it alone.',
    )
  }
  const root = await realpath(
    files.reduce((common, file) => commonFolder(common, path.dirname(file)), path.dirname(first)),
  )
  // The user has chosen these files one by one: none is taken for a note.
  return {
    root,
    paths: files.map((file) => path.relative(root, file).split(path.sep).join('/')).toSorted(),
    ignored: [],
  }
}

function choose(source: string, root: string, files: string[]): Discovery {
  const ignored = files.filter((file) => note.test(path.posix.basename(file)))
  const data = files.filter((file) => !ignored.includes(file))
  const unreadable = data.filter((file) => dataOfOtherFormats.test(file) || !tableFile.test(path.posix.basename(file)))
  if (unreadable.length > 0) {
    throw new OperatorError(
      `${source} holds ${unreadable.length} files that are not CSV: ${listed(unreadable)}`,
      'Unload them as CSV, or give a glob of the files to migrate, such as "export/*.csv". Nothing is left out silently.',
    )
  }
  if (data.length === 0) {
    throw new OperatorError(`${source} holds no table`, 'Expected CSV files, such as pageviews.csv and users.csv.')
  }
  return { root, paths: data.toSorted(), ignored: ignored.toSorted() }
}

function listed(files: string[]): string {
  const shown = files.toSorted().slice(0, 5).join(', ')
  return files.length > 5 ? `${shown} and ${files.length - 5} more` : shown
}

function commonFolder(a: string, b: string): string {
  const left = a.split(path.sep)
  const right = b.split(path.sep)
  const same = left.findIndex((part, index) => part !== right[index])
  return (same === -1 ? left : left.slice(0, same)).join(path.sep) || path.sep
}
