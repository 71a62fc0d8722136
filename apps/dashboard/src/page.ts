import type { Visitor } from './access.ts'
import { type Html, html, script } from './html.ts'
import type { LivePage } from './live-page.ts'

/** What a page consists of beside its frame. */
export interface Content {
  title: string
  /** It changes, and open pages are to be kept up to date. */
  live: boolean
  /** Of parts that each have an id, so that only what has changed is put in. */
  main: Html
  /** What the page needs beside what all have. */
  head?: Html
}

/** The whole page, for a first visit. @param visitor who looks; null where that is not known */
export function pageOf({ title, live, main, head = html``, visitor }: Content & { visitor: Visitor | null }): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>${titleOf(title)}</title>
<link rel="icon" href="/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/style.css">
${script('/idiomorph.js')}
${script('/live.js')}
${head}
</head>
<body>
<a class="skip" href="#main">Skip to content</a>
<nav aria-label="heapferry"><a class="home" href="/">heapferry</a>${visitor === null ? html`` : linksFor(visitor)}</nav>
<p id="connection" role="status" hidden></p>
<main id="main" tabindex="-1" data-live="${live ? 'yes' : 'no'}">${main}</main>
</body>
</html>
`.markup
}

function linksFor({ name, role, signedIn }: Visitor): Html {
  const person = html`<form method="post" action="/logout"><span>${name}, ${role}</span> <button class="plain">Sign out</button></form>`
  return html`<a href="/">Runs</a><a href="/machines">Machines</a><a href="/queues/">Queues</a>${signedIn ? person : html``}`
}

/** What is told to those who have the page open. */
export function liveOf({ title, live, main }: Content, chart: LivePage['chart']): LivePage {
  return { title: titleOf(title), live, main: main.markup, chart }
}

function titleOf(title: string): string {
  return `${title} · heapferry`
}

/** A page that says what is the matter and what to do about it. */
export function noticePage(title: string, text: string, visitor: Visitor | null): string {
  return pageOf({
    title,
    live: false,
    visitor,
    main: html`<h1 id="title">${title}</h1><p id="message">${text}</p><p id="back"><a href="/">All runs</a></p>`,
  })
}
