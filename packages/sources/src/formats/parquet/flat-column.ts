import { type Cells, lostCells } from './cells.ts'
import type { ColumnPages } from './column-pages.ts'
import { decodeDictionary, decodePage, type FlatStorage } from './decode-page.ts'
import type { ColumnCells } from './open-column.ts'
import type { PageHeader } from './page-header.ts'
import type { ParquetCell } from './value-text.ts'

/**
 * A column with one value a row, which nearly all of them are. Holds one page and the dictionary.
 *
 * A page that cannot be decoded costs its own rows: how many they are stands in its header. Where a header cannot be read,
 * or those behind the page do not add up to the rows of the row group, nobody knows which rows a page is of, and the rest
 * of the column is lost. Small columns are added up before they are read. In a larger one, a header that is wrong by less
 * than eight rows may pass, as packed values are filled up to eight; then its last rows tell that some are missing.
 */
export class FlatColumn implements ColumnCells {
  readonly #pages: ColumnPages
  readonly #storage: FlatStorage
  readonly #group: { firstRow: number; rows: number }
  #dictionary: readonly ParquetCell[] | Error | null = null
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

  async take(rows: number): Promise<ParquetCell[]> {
    const taken: ParquetCell[] = []
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
    if (this.#end === 0 && this.#pages.areFew) {
      const rows = await this.#rowsAhead()
      if (rows !== null && rows !== this.#group.rows) {
        this.#lose(`its pages have ${rows} rows, the row group ${this.#group.rows}`)
        return
      }
    }
    const header = await this.#nextHeader()
    if (header?.kind !== 'values' || header.rows > this.#group.rows - this.#at) {
      this.#lose('where its next page should begin, none does, or one with too many rows')
      return
    }
    this.#end = this.#at + header.rows
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
    if (this.#end > 0 || this.#dictionary !== null || header?.kind !== 'dictionary') return header
    const bytes = await this.#pages.take(header)
    this.#dictionary = await decodeDictionary(header, bytes, this.#storage).catch(errorOf)
    return this.#pages.next()
  }

  /** Whether the headers of the pages behind this one can be believed, and so the one of this. */
  async #addsUp(): Promise<boolean> {
    this.#knownToAddUp ||= (await this.#rowsAhead()) === this.#group.rows - this.#end
    return this.#knownToAddUp
  }

  /** How many rows the pages from here on have, by their headers; null where one cannot be read. */
  async #rowsAhead(): Promise<number | null> {
    const pages = await this.#pages.fork()
    let rows = 0
    while (pages.areLeft && this.#end + rows < this.#group.rows) {
      const header = await pages.next()
      if (header === null) return null
      pages.skip(header)
      if (header.kind === 'values') rows += header.rows
    }
    return rows
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

/** Decoders throw whatever they stumble over, and have nothing but the bytes that they are given. */
function errorOf(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}
