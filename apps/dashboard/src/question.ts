import { type Html, html } from './html.ts'
import type { Content } from './page.ts'

interface Question {
  title: string
  /** Where the answer is posted to. */
  address: string
  body: Html
  button: string
  /** The way back, without an answer. */
  leave: { address: string; text: string }
}

/** A page that asks before something is done. */
export function questionPage({ title, address, body, button, leave }: Question): Content {
  return {
    title,
    live: false,
    main: html`<h1 id="title">${title}</h1>
<form id="form" class="sheet" method="post" action="${address}">
${body}
<p class="actions"><button>${button}</button> <a class="button" href="${leave.address}">${leave.text}</a></p>
</form>`,
  }
}
