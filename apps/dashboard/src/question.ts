import { type Html, html } from './html.ts'
import type { Content } from './page.ts'

interface Question {
  title: string
  /** Where the answer is posted to. */
  address: string
  body: Html
  button: string
  /** What is asked for cannot be taken back. */
  grave?: boolean
  /** The way back, without an answer: to what led here, which has the focus then. */
  leave: { address: string; text: string }
}

/** A page that asks before something is done. */
export function questionPage({ title, address, body, button, grave = false, leave }: Question): Content {
  return {
    title,
    live: false,
    main: html`<h1 id="title">${title}</h1>
<form id="form" class="sheet" method="post" action="${address}">
${body}
<p class="actions"><button${grave ? html` class="grave"` : html``}>${button}</button> <a id="leave" class="button" href="${leave.address}">${leave.text}</a></p>
</form>`,
  }
}
