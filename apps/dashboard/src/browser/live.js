/**
 * Keeps an open page up to date: the server sends `main` anew whenever it has changed, and what differs is put in. So
 * there is one place that makes markup, and escapes; the road not taken, filling in numbers from JSON, would be a second.
 * Parts of `main` that did not change stay as they are, with selection, focus and scrolling. A browser reconnects by
 * itself; while it does, the page says how old it is.
 */
'use strict'

const connection = partOfPage('connection')
const main = partOfPage('main')
const shown = new Map([...main.children].map((part) => [part.id, part.innerHTML]))
let shownAt = new Date()
/** @type {EventSource | undefined} */
let stream
/** @type {number | undefined} */
let silence

/** @param {string} id */
function partOfPage(id) {
  const part = document.getElementById(id)
  if (!part) throw new Error(`the page has no ${id}`)
  return part
}

function listen() {
  if (stream || document.hidden || main.dataset.live !== 'yes') return
  const opened = new EventSource(`/live${location.pathname}`)
  stream = opened
  heard()
  opened.addEventListener('alive', heard)
  opened.addEventListener('message', ({ data }) => {
    heard()
    /** @type {import('../live-page.ts').LivePage} */
    const page = JSON.parse(data)
    shownAt = new Date()
    connection.hidden = true
    document.title = page.title
    main.dataset.live = page.live ? 'yes' : 'no'
    show(page.main)
    if (page.point) document.dispatchEvent(new CustomEvent('point', { detail: page.point }))
    if (!page.live) rest()
  })
  opened.addEventListener('error', () => {
    sayLost()
    // A browser gives up when it is answered with an error, as by a proxy whose server is away or without a session.
    if (opened.readyState === EventSource.CLOSED) signInOr(() => listenAgain(2000))
  })
}

/** The server says something every 15 s. A connection can be dead without an end, as after a laptop has slept. */
function heard() {
  clearTimeout(silence)
  silence = setTimeout(() => {
    sayLost()
    listenAgain(0)
  }, 40000)
}

/** @param {number} afterMs */
function listenAgain(afterMs) {
  rest()
  setTimeout(listen, afterMs)
}

/**
 * A session has an end, also by a server that was started anew: loading the page again leads to the form.
 * @param {() => void} goOn
 */
function signInOr(goOn) {
  fetch(location.pathname, { headers: { accept: 'application/json' } }).then(
    ({ status }) => (status === 401 ? location.reload() : goOn()),
    goOn,
  )
}

function rest() {
  clearTimeout(silence)
  stream?.close()
  stream = undefined
}

function sayLost() {
  connection.textContent = `Connection lost. This is how things stood at ${shownAt.toLocaleTimeString()}; trying again.`
  connection.hidden = false
}

/** @param {string} markup */
function show(markup) {
  const fresh = document.createElement('main')
  fresh.innerHTML = markup
  for (const part of fresh.children) {
    const old = document.getElementById(part.id)
    if (!old) {
      shown.clear()
      for (const one of fresh.children) shown.set(one.id, one.innerHTML)
      main.replaceChildren(...fresh.childNodes)
      break
    }
    if (old.dataset.still === 'yes' || shown.get(part.id) === part.innerHTML) continue
    shown.set(part.id, part.innerHTML)
    const open = [...old.querySelectorAll('details[open]')].map((details) => details.id)
    old.replaceChildren(...part.childNodes)
    for (const id of open) document.getElementById(id)?.setAttribute('open', '')
  }
  localTimes()
}

/** Times come in UTC; they are shown in the reader's time, with UTC when pointed at. */
function localTimes() {
  for (const time of document.querySelectorAll('time')) {
    if (time.title) continue
    time.title = time.textContent
    time.textContent = new Date(time.dateTime).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' })
  }
}

document.addEventListener('visibilitychange', () => (document.hidden ? rest() : listen()))
localTimes()
listen()
