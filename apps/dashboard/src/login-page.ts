import { html } from './html.ts'
import { pageOf } from './page.ts'

/** @param next the page to go on to @param wrong what was wrong with the last answer */
export function loginPage({ next, wrong }: { next: string; wrong: string | null }): string {
  return pageOf({
    title: 'Sign in',
    live: false,
    visitor: null,
    main: html`<h1 id="title">Sign in</h1>
<form id="form" class="sheet" method="post" action="/login">
${wrong === null ? html`` : html`<p class="bad" role="alert">${wrong}</p>`}
<label>Your name, for the history of runs <input name="name" autocomplete="username" maxlength="40"></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required autofocus></label>
<input type="hidden" name="next" value="${next}">
<button>Sign in</button>
</form>`,
  })
}
