import { type Logger, onceAMinute } from '@heapferry/config'
import type { Response } from 'express'
import type { LivePage } from './live-page.ts'

const everyMs = 1000
// Proxies end connections that say nothing for half a minute; a page takes silence of 40 s for a lost connection.
const aliveEveryMs = 15_000
const alive = 'event: alive\ndata:\n\n'

/**
 * Keeps open pages up to date by Server-Sent Events. A page is made once a second however many look at it, and not at all
 * while nobody does: Redis is asked the same for one viewer and for a thousand.
 */
export class LiveHub {
  readonly #channels = new Map<string, Channel>()
  readonly #logger: Logger

  constructor(logger: Logger) {
    this.#logger = logger
  }

  /** Sends `response` the page now, and whenever it has changed, until the other side goes away. */
  join(path: string, response: Response, make: () => Promise<LivePage>): void {
    response.set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store', 'X-Accel-Buffering': 'no' })
    response.flushHeaders()
    // How soon a browser asks again after it has lost the connection.
    response.write('retry: 2000\n\n')
    const channel =
      this.#channels.get(path) ??
      new Channel(
        make,
        onceAMinute((error) => this.#logger.warn({ err: error, path }, 'live')),
      )
    this.#channels.set(path, channel)
    channel.add(response)
    response.on('close', () => {
      channel.remove(response)
      if (channel.isEmpty) this.#channels.delete(path)
    })
  }

  close(): void {
    for (const channel of this.#channels.values()) channel.end()
    this.#channels.clear()
  }
}

class Channel {
  readonly #viewers = new Set<Response>()
  readonly #make: () => Promise<LivePage>
  readonly #onError: (error: Error) => void
  readonly #timer: NodeJS.Timeout
  #making = false
  #last = ''
  #saidAtMs = Number.NEGATIVE_INFINITY

  constructor(make: () => Promise<LivePage>, onError: (error: Error) => void) {
    this.#make = make
    this.#onError = onError
    this.#timer = setInterval(() => void this.#tell(), everyMs)
    void this.#tell()
  }

  get isEmpty(): boolean {
    return this.#viewers.size === 0
  }

  add(viewer: Response): void {
    this.#viewers.add(viewer)
    if (this.#last !== '') viewer.write(this.#last)
  }

  remove(viewer: Response): void {
    this.#viewers.delete(viewer)
    if (this.isEmpty) clearInterval(this.#timer)
  }

  end(): void {
    clearInterval(this.#timer)
    for (const viewer of this.#viewers) viewer.end()
    this.#viewers.clear()
  }

  async #tell(): Promise<void> {
    // A Redis that hangs must not pile up questions.
    if (this.#making) return
    this.#making = true
    try {
      const message = `data: ${JSON.stringify(await this.#make())}\n\n`
      const isNews = message !== this.#last
      this.#last = message
      if (isNews || performance.now() - this.#saidAtMs >= aliveEveryMs) {
        this.#saidAtMs = performance.now()
        // A viewer that does not keep up misses what it would only paint over.
        for (const viewer of this.#viewers) if (!viewer.writableNeedDrain) viewer.write(isNews ? message : alive)
      }
    } catch (error) {
      this.#onError(error instanceof Error ? error : new Error(String(error)))
    } finally {
      this.#making = false
    }
  }
}
