import type { Properties } from './properties.ts'

/** The cells that together say which page a row happened on. */
export interface AddressCells {
  domain: string | null
  path: string | null
  query: string | null
  hash: string | null
}

export interface PageAddress {
  /** Undefined where no domain is known. */
  url: string | undefined
  host: string | undefined
  pathname: string | undefined
}

/**
 * Puts together what Heap keeps apart. Heap records no scheme; `https` is by far the likelier. Heap's oldest rows have the
 * domain once more at the start of `path`, which is recognized by the missing slash.
 */
export function pageAddress({ domain, path, query, hash }: AddressCells): PageAddress {
  let host = domain === null ? undefined : bareHost(domain)
  let pathname = path ?? undefined
  if (pathname !== undefined && !pathname.startsWith('/')) {
    const [, pathHost, rest] =
      /^(?:https?:\/\/)?([a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)+(?::\d+)?)(\/.*)?$/s.exec(pathname) ?? []
    const isHost = pathHost !== undefined && (host === undefined ? rest !== undefined : sameSite(host, pathHost))
    if (isHost) {
      host ??= pathHost
      pathname = rest ?? '/'
    } else {
      pathname = `/${pathname}`
    }
  }
  if (host === undefined) return { url: undefined, host, pathname }
  return { url: `https://${host}${pathname ?? ''}${led('?', query)}${led('#', hash)}`, host, pathname }
}

export function setPageAddress(properties: Properties, { url, host, pathname }: PageAddress): void {
  if (url !== undefined) properties.set('$current_url', url)
  if (host !== undefined) properties.set('$host', host)
  if (pathname !== undefined) properties.set('$pathname', pathname)
}

/**
 * The address of a session's first page. `landingPage` is domain and path without a scheme; in rows from before 2019 it may
 * have the query in it.
 */
export function entryUrl(landingPage: string, query: string | null, hash: string | null): string {
  const page = landingPage.trim()
  const url = /^[a-zA-Z][a-zA-Z0-9+.-]*:\/\//.test(page) ? page : `https://${page.replace(/^\/\//, '')}`
  const withQuery = url.includes('?') || url.includes('#') ? url : url + led('?', query)
  return withQuery.includes('#') ? withQuery : withQuery + led('#', hash)
}

function bareHost(domain: string): string {
  const trimmed = domain.trim()
  return trimmed.includes('/') ? trimmed.replace(/^[a-zA-Z][a-zA-Z0-9+.-]*:\/\//, '').replace(/\/+$/, '') : trimmed
}

function sameSite(a: string, b: string): boolean {
  return a.toLowerCase().replace(/^www\./, '') === b.toLowerCase().replace(/^www\./, '')
}

function led(by: '?' | '#', text: string | null): string {
  if (text === null || text === by) return ''
  return text.startsWith(by) ? text : by + text
}
