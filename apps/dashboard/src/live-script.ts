/**
 * Keeps an open page up to date: asks for the page itself and puts in what has changed. So there is one place that
 * makes markup, and escapes; the road not taken, filling in the JSON of /api/runs/:id, would be a second one.
 * Parts of `main` that did not change stay as they are, with selection, focus and scrolling.
 */
export const liveScript = `'use strict'
const everyMs = 2000
const connection = document.getElementById('connection')
const main = document.querySelector('main')
let shownAt = new Date()
let asking = false
let timer

async function ask() {
  clearTimeout(timer)
  if (asking || document.hidden || main.dataset.live !== 'yes') return
  asking = true
  try {
    const answer = await fetch(location.pathname, { cache: 'no-store', signal: AbortSignal.timeout(5000) })
    if (!answer.ok && answer.status !== 404) throw new Error(answer.statusText)
    show(new DOMParser().parseFromString(await answer.text(), 'text/html'))
    shownAt = new Date()
    connection.hidden = true
  } catch {
    connection.textContent = 'Connection lost. This is how things stood at ' + shownAt.toLocaleTimeString() + '; trying again.'
    connection.hidden = false
  }
  asking = false
  timer = setTimeout(ask, everyMs)
}

function show(page) {
  const fresh = page.querySelector('main')
  document.title = page.title
  main.dataset.live = fresh.dataset.live
  if (partsOf(fresh) !== partsOf(main)) return main.replaceChildren(...fresh.childNodes)
  for (const part of [...fresh.children]) {
    const old = document.getElementById(part.id)
    if (old.innerHTML !== part.innerHTML) old.replaceChildren(...part.childNodes)
  }
}

function partsOf(element) {
  return [...element.children].map((part) => part.tagName + part.id + part.className).join()
}

document.addEventListener('visibilitychange', ask)
timer = setTimeout(ask, everyMs)
`
