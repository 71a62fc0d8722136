import type { PageHeader } from 'hyparquet'
import { type Cells, lostCells } from './cells.ts'
import type { ColumnPages } from './column-pages.ts'
import { decodeDictionary, decodePage, type FlatStorage } from './decode-page.ts'
import type { ColumnCells } from './open-column.ts'
import type { Cell } from './value-text.ts'

/**
 * A column with one value a row, which nearly all of them are. Holds one page and the dictionary.
 *
 * A page that cannot be decoded costs its own rows: how many they are stands in its header. Where a header cannot be read,
 * or those that follow do not add up to the rows of the row group, nobody knows which rows a page is of, and the rest of
 * the column is lost. A header that is wrong by less than eight rows may pass, as packed values are filled up to eight;
 * then the last rows tell that some are missing.
 */
export class FlatColumn implements ColumnCells {
  readonly #pages: ColumnPages
  readonly #storage: FlatStorage
  readonly #group: { firstRow: number; rows: number }
  #dictionary: readonly Cell[] | Error | null = null
  /** Of the row group: rows behind, and rows up to the end of the page that is read. */
  #at = 0
  #end = 0
  #page: Cells = lostCells('')
  #knownToAddUp = false

  constructor(pages: ColumnPages, storage: FlatStorage, group: { firstRow: number; rows: number }) {
    this.#pages = pages
    this.#storage = storage
    this.#group = group
  }

  async skip(rows: number): Promise<void> {
    for (const to = this.#at + rows; this.#at < to; ) {
      if (this.#at === this.#end) await this.#openPage(to)
      const passed = Math.min(to, this.#end) - this.#at
      this.#page.skip(passed)
      this.#at += passed
    }
  }

  async take(rows: number): Promise<Cell[]> {
    const taken: Cell[] = []
    for (const to = this.#at + rows; this.#at < to; ) {
      if (this.#at === this.#end) await this.#openPage(this.#at)
      const passed = Math.min(to, this.#end) - this.#at
      this.#page.take(passed, taken)
      this.#at += passed
    }
    return taken
  }

  /** @param needed the row up to which no cell is asked for: a page that ends before it is not unpacked */
  async #openPage(needed: number): Promise<void> {
    const header = await this.#nextHeader()
    const rows = rowsOf(header)
    if (header === null || rows === null || rows > this.#group.rows - this.#at) {
      this.#lose('where its next page should begin, none does, or one with too many rows')
      return
    }
    this.#end = this.#at + rows
    if (this.#end <= needed) {
      this.#pages.skip(header)
      this.#page = skippedCells
      return
    }
    const bytes = await this.#pages.take(header)
    const page = await decodePage(header, bytes, this.#storage, this.#dictionary).catch(errorOf)
    if (!(page instanceof Error)) this.#page = page
    else if (await this.#addsUp()) this.#page = lostCells(this.#detail(page.message))
    else this.#lose(`${page.message}, and its pages do not have as many rows as the row group`)
  }

  /** The dictionary, if there is one, lies before the first page of values. */
  async #nextHeader(): Promise<PageHeader | null> {
    const header = await this.#pages.next()
    if (this.#end > 0 || this.#dictionary !== null || header?.type !== 'DICTIONARY_PAGE') return header
    const bytes = await this.#pages.take(header)
    this.#dictionary = await decodeDictionary(header, bytes, this.#storage).catch(errorOf)
    return this.#pages.next()
  }

  /** Whether the headers of the pages behind this one can be believed, and so the one of this. */
  async #addsUp(): Promise<boolean> {
    if (this.#knownToAddUp) return true
    const pages = this.#pages.fork()
    let end = this.#end
    while (end < this.#group.rows) {
      const header = await pages.next()
      const rows = rowsOf(header)
      if (header === null || rows === null) return false
      pages.skip(header)
      end += rows
    }
    this.#knownToAddUp = end === this.#group.rows
    return this.#knownToAddUp
  }

  #lose(why: string): void {
    this.#end = this.#group.rows
    this.#page = lostCells(this.#detail(why))
  }

  #detail(why: string): string {
    const { firstRow } = this.#group
    const { element } = this.#storage.decoder
    const rows = `rows ${firstRow + this.#at + 1} to ${firstRow + this.#end}`
    return `${rows} of its column "${element.name}" cannot be decoded: ${why.slice(0, 150)}`
  }
}

// Nobody asks for them.
const skippedCells = lostCells('')

/** Null where it is no header of values. */
function rowsOf(header: PageHeader | null): number | null {
  const rows = header?.type === 'DATA_PAGE' ? header.data_page_header?.num_values : rowsOfSecondVersion(header)
  return rows !== undefined && Number.isInteger(rows) && rows >= 0 ? rows : null
}

function rowsOfSecondVersion(header: PageHeader | null): number | undefined {
  if (header?.type !== 'DATA_PAGE_V2') return undefined
  const { num_rows, num_values } = header.data_page_header_v2 ?? {}
  return num_rows === num_values ? num_rows : undefined
}

/** Decoders throw whatever they stumble over, and have nothing but the bytes that they are given. */
function errorOf(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}
