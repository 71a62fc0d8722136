import { type Html, html } from './html.ts'

/** A moment in UTC, to the second, which the page's script turns into the reader's time. */
export function moment(atMs: number): Html {
  const iso = new Date(atMs).toISOString()
  return html`<time datetime="${iso}">${iso.slice(0, 19).replace('T', ' ')} UTC</time>`
}
