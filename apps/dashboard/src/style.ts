/** Dark and light as the reader's system has it; each has a contrast of 4.5 to 1 at least where it is text. */
export const colours = {
  light: {
    paper: '#f7f7f5',
    card: '#fff',
    ink: '#1c1e21',
    soft: '#5c636b',
    line: '#dcdedb',
    link: '#0b57c2',
    good: '#1a7f37',
    warn: '#8a5a00',
    bad: '#c02626',
  },
  dark: {
    paper: '#14171a',
    card: '#1c2024',
    ink: '#e6e8ea',
    soft: '#9aa3ab',
    line: '#33393f',
    link: '#7db1ff',
    good: '#5fc97b',
    warn: '#e5b04d',
    bad: '#ff8080',
  },
} as const

export type Colours = (typeof colours)[keyof typeof colours]

const properties = (scheme: Colours) =>
  Object.entries(scheme)
    .map(([name, colour]) => `--${name}: ${colour};`)
    .join(' ')

/** One style sheet for all of our pages, from 360 px on. */
export const style = `
:root { color-scheme: light dark; ${properties(colours.light)} --going: var(--link); }
@media (prefers-color-scheme: dark) { :root { ${properties(colours.dark)} } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
nav, main, #connection { max-width: 68rem; margin: 0 auto; padding: 0 1rem; }
nav { display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem 1.25rem; padding-top: 1rem; }
nav .home { margin-right: auto; color: var(--ink); font-weight: 700; text-decoration: none; }
main { padding-bottom: 4rem; }
a { color: var(--link); }
h1, h2 { line-height: 1.25; overflow-wrap: anywhere; }
h1 { margin: 1.5rem 0 .5rem; font-size: 1.75rem; }
h2 { margin: 2rem 0 .5rem; font-size: 1.15rem; }
p { margin: .25rem 0; overflow-wrap: anywhere; }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere; }
header#title { display: flex; flex-wrap: wrap; align-items: center; gap: .25rem 1rem; margin-top: 1rem; }
header#title h1 { margin: 0; }
#message { font-size: 1.1rem; }
#connection { margin: .75rem auto -.25rem; }
#connection:not([hidden])::before { content: '⚠ '; }
#connection { color: var(--bad); }

.state {
  padding: 0 .6em; border: 1px solid currentColor; border-radius: 1em;
  color: var(--going); font-size: .875rem; font-weight: 600; white-space: nowrap;
}
.state.completed { color: var(--good); }
.state.paused, .state.pausing, .state.waiting_for_posthog, .state.completed_with_rejected_rows { color: var(--warn); }
.state.failed { color: var(--bad); }
.state.cancelled { color: var(--soft); }

.progress { margin: 1rem 0 .25rem; }
.progress p { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 1rem; font-variant-numeric: tabular-nums; }
progress { display: block; width: 100%; height: .75rem; appearance: none; border: 0; border-radius: .4rem; overflow: hidden; background: var(--line); }
progress::-webkit-progress-bar { background: var(--line); }
progress::-webkit-progress-value { background: var(--going); }
progress::-moz-progress-bar { background: var(--going); }
progress.completed, progress.completed_with_rejected_rows { --going: var(--good); }
progress.paused, progress.pausing, progress.waiting_for_posthog { --going: var(--warn); }
progress.failed { --going: var(--bad); }
progress.cancelled { --going: var(--soft); }

.skip { position: absolute; left: -999rem; padding: .5rem 1rem; background: var(--card); }
.skip:focus { left: 1rem; top: .5rem; z-index: 1; }
main:focus { outline: none; }
.phases, .timeline, .plain { margin: 0; padding: 0; list-style: none; }
.phases { display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); gap: .5rem 2rem; }
.phases p { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 1rem; }
.timeline li { display: grid; grid-template-columns: 13rem 1fr; gap: 0 1rem; padding: .25rem 0; border-top: 1px solid var(--line); }
.timeline time { color: var(--soft); }
time { font-variant-numeric: tabular-nums; }
#chart { min-height: 180px; }
#chart .u-legend { display: block; font-size: .875rem; }
#chart .u-legend :is(tr, th, td) { display: inline-block; width: auto; padding: 0 .15rem; border: 0; }
pre { overflow-x: auto; padding: .75rem; border: 1px solid var(--line); border-radius: .5rem; background: var(--card); font-size: .8rem; white-space: pre-wrap; overflow-wrap: anywhere; }
h3 { margin: .5rem 0; font-size: 1rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); gap: 0 2rem; margin-bottom: 1.5rem; }
.pair td, #row td { overflow-wrap: anywhere; }
#details summary { cursor: pointer; }
th progress { height: .3rem; margin-top: .25rem; max-width: 18rem; }

nav form { display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem .75rem; margin: 0; }
nav span { color: var(--soft); }
button, .button {
  display: inline-block; padding: .3rem .9rem; border: 1px solid var(--link); border-radius: .4rem; cursor: pointer;
  background: var(--link); color: var(--paper); font: inherit; font-weight: 600; text-decoration: none;
}
.button { background: none; color: var(--link); }
button.plain { padding: 0; border: 0; background: none; color: var(--link); font-weight: 400; text-decoration: underline; }
.actions { display: flex; flex-wrap: wrap; gap: .5rem; margin: .75rem 0; }
.sheet { max-width: 34rem; margin: 1rem 0; padding: 1rem; border: 1px solid var(--line); border-radius: .5rem; background: var(--card); }
.sheet label { display: block; margin-bottom: .75rem; color: var(--soft); }
.sheet input:not([type=hidden]) { display: block; width: 100%; padding: .4rem .6rem; border: 1px solid var(--soft); border-radius: .3rem; background: var(--paper); color: var(--ink); font: inherit; }
:focus-visible { outline: 3px solid var(--going); outline-offset: 2px; }

.facts, .hint { color: var(--soft); font-size: .9rem; }
dl.numbers { display: flex; flex-wrap: wrap; gap: 1px; margin: 1rem 0 0; border: 1px solid var(--line); border-radius: .5rem; overflow: hidden; background: var(--line); }
dl.numbers div { flex: 1 0 8.5rem; padding: .5rem .75rem; background: var(--card); }
dt { color: var(--soft); font-size: .875rem; }
dd { margin: 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
dl.numbers dd { font-size: 1.1rem; }
dl.about { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; margin: 0; }

.runs, .reasons { margin: 0; padding: 0; list-style: none; }
.runs li { margin-top: 1rem; padding: 1rem; border: 1px solid var(--line); border-radius: .5rem; background: var(--card); }
.runs h2 { display: flex; flex-wrap: wrap; align-items: center; gap: .25rem .75rem; margin: 0 0 .25rem; }
.reasons li { padding: .5rem 0; border-top: 1px solid var(--line); }

table { width: 100%; border-collapse: collapse; }
th, td { padding: .4rem .5rem; border-bottom: 1px solid var(--line); text-align: right; font-variant-numeric: tabular-nums; }
th:first-child { padding-left: 0; text-align: left; overflow-wrap: anywhere; }
th:last-child, td:last-child { padding-right: 0; }
thead th { color: var(--soft); font-size: .875rem; font-weight: 400; }
tbody th { font-weight: 500; }
tfoot th, tfoot td { border-bottom: 0; font-weight: 700; }
.words { text-align: left; }
.zero { color: var(--soft); }
.bad { color: var(--bad); }

@media (max-width: 40rem) {
  .timeline li { grid-template-columns: 1fr; }
  table, tbody, tfoot { display: block; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tr { display: grid; grid-template-columns: 1fr 1fr; gap: 0 1rem; padding: .6rem 0; border-bottom: 1px solid var(--line); }
  tfoot tr { border-bottom: 0; }
  th, td { padding: 0; border: 0; }
  tbody th, tfoot th { grid-column: 1 / -1; }
  td { display: flex; flex-wrap: wrap; justify-content: space-between; font-size: .875rem; }
  .words { text-align: right; }
  .pair .words, #row .words { text-align: left; }
  td::before { content: attr(data-name); color: var(--soft); font-weight: 400; }
  .pair td::before, #row td::before { content: none; }
}
`

export const icon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#0b57c2"/><path d="M5 19h22l-4 6H9zM15 6h2v11h-2zM18 8l6 8h-6z" fill="#fff"/></svg>
`
