/**
 * Keeps an open page up to date: the server sends `main` anew whenever it has changed, and what differs is put in. So
 * there is one place that makes markup, and escapes; the road not taken, filling in numbers from JSON, would be a second.
 * Elements are changed, not replaced, so focus, selection and scrolling stay where they are, also in a part that changes
 * every second. A browser reconnects by itself; while it does, the page says how old it is.
 */
'use strict'

const connection = partOfPage('connection')
const main = partOfPage('main')
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
  const opened = new EventSource(`/live${location.pathname}${location.search}`)
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
    if (page.chart) document.dispatchEvent(new CustomEvent('chart', { detail: page.chart }))
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
  // It waits for nothing: only heads that are changed make it.
  void Idiomorph.morph(main, markup, {
    morphStyle: 'innerHTML',
    callbacks: {
      beforeNodeMorphed: (old, fresh) => !staysAsItIs(old, fresh),
      // What a reader has unfolded stays so.
      beforeAttributeUpdated: (name, element) => !(name === 'open' && element instanceof HTMLDetailsElement),
    },
  })
  localTimes()
  filter()
}

/**
 * What a script draws, what a reader has typed, and a moment that is shown in the reader's time.
 * @param {Node} old
 * @param {Node} fresh
 */
function staysAsItIs(old, fresh) {
  if (old instanceof HTMLTimeElement && fresh instanceof HTMLTimeElement) return old.dateTime === fresh.dateTime
  if (old instanceof HTMLInputElement || old instanceof HTMLSelectElement) return true
  return old instanceof HTMLElement && old.dataset.still === 'yes'
}

/** Lines of tables whose name does not have what was typed are hidden, also after the page has changed. */
function filter() {
  for (const input of document.querySelectorAll('input[data-filters]')) {
    if (!(input instanceof HTMLInputElement)) continue
    const wanted = input.value.trim().toLowerCase()
    const part = `#${input.dataset.filters}`
    // What is looked for may be folded away.
    if (wanted !== '')
      for (const details of document.querySelectorAll(`${part} details`)) details.setAttribute('open', '')
    for (const line of document.querySelectorAll(`${part} tbody tr`)) {
      const name = line.querySelector('th')?.textContent ?? ''
      line.toggleAttribute('hidden', !name.toLowerCase().includes(wanted))
    }
  }
}

/** Times come in UTC; they are shown in the reader's time, with UTC when pointed at. */
function localTimes() {
  const today = new Date().toDateString()
  for (const time of document.querySelectorAll('time')) {
    if (time.title) continue
    const at = new Date(time.dateTime)
    time.title = `${time.dateTime.slice(0, 19).replace('T', ' ')} UTC`
    /** @type {Intl.DateTimeFormatOptions} */
    const whole = { dateStyle: 'medium', timeStyle: time.dataset.clock ? 'short' : 'medium' }
    time.textContent =
      time.dataset.clock && at.toDateString() === today
        ? at.toLocaleTimeString(undefined, { timeStyle: 'short' })
        : at.toLocaleString(undefined, whole)
  }
}

/** A question that is not answered leads back to where it was asked. */
document.addEventListener('keydown', ({ key }) => {
  if (key === 'Escape') document.getElementById('leave')?.click()
})
document.addEventListener('visibilitychange', () => (document.hidden ? rest() : listen()))
document.addEventListener('input', filter)
localTimes()
listen()
