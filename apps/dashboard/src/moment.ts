import { type Html, html } from './html.ts'

/** A moment in UTC, to the second, which the page's script turns into the reader's time. */
export function moment(atMs: number): Html {
  const iso = new Date(atMs).toISOString()
  return html`<time datetime="${iso}">${iso.slice(0, 19).replace('T', ' ')} UTC</time>`
}

/** The same where the day goes without saying: the reader's script leaves it out while it is today. */
export function clock(atMs: number): Html {
  const iso = new Date(atMs).toISOString()
  return html`<time datetime="${iso}" data-clock="yes">${iso.slice(11, 16)} UTC</time>`
}
