import { createHash, timingSafeEqual } from 'node:crypto'
import { isIPv4 } from 'node:net'
import type { RequestHandler } from 'express'

export interface Login {
  user: string
  password: string
}

/** True for names and addresses that only this machine reaches. Other spellings of them (`127.1`) count as not. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1').toLowerCase()
  return bare === 'localhost' || bare === '::1' || (isIPv4(bare) && bare.startsWith('127.'))
}

/**
 * Refuses requests that name another host. Without a login this is what keeps web pages out: one whose domain is
 * made to point at 127.0.0.1 (DNS rebinding) is of the same origin for the browser, but still names its domain.
 */
export const onlyLoopbackNames: RequestHandler = (request, response, next) => {
  if (isLoopback(hostnameOf(request.headers.host))) return next()
  response.status(403).type('text').send('This dashboard answers only as localhost or 127.0.0.1.\n')
}

/** HTTP Basic on everything behind it. */
export function requireLogin(login: Login): RequestHandler {
  const user = digest(login.user)
  const password = digest(login.password)
  return (request, response, next) => {
    const given = credentialsOf(request.headers.authorization)
    // Digests have one length, and both are always compared: the time taken tells nothing.
    const userFits = timingSafeEqual(digest(given.user), user)
    const passwordFits = timingSafeEqual(digest(given.password), password)
    if (userFits && passwordFits) return next()
    response.set('WWW-Authenticate', 'Basic realm="heapferry", charset="UTF-8"').status(401).type('text')
    response.send('The dashboard wants HEAPFERRY_DASHBOARD_USER and HEAPFERRY_DASHBOARD_PASSWORD.\n')
  }
}

/**
 * Refuses writes that another site makes a browser send; browsers add a login by themselves. They tell the origin in
 * Sec-Fetch-Site, or (over plain HTTP from another machine) only in Origin. Programs send neither and pass.
 */
export const onlySameSiteWrites: RequestHandler = (request, response, next) => {
  if (request.method === 'GET' || request.method === 'HEAD') return next()
  const { origin, host, 'sec-fetch-site': site } = request.headers
  // `same-site` is not enough: another port of localhost is the same site.
  const own = site === undefined ? origin === undefined || hostOf(origin) === host : site === 'same-origin'
  if (own) return next()
  response.status(403).type('text').send('Another site may not change anything here.\n')
}

function credentialsOf(header: string | undefined): Login {
  const encoded = /^basic +(\S+) *$/i.exec(header ?? '')?.[1] ?? ''
  const text = Buffer.from(encoded, 'base64').toString('utf8')
  const colon = text.indexOf(':')
  return colon === -1 ? { user: '', password: '' } : { user: text.slice(0, colon), password: text.slice(colon + 1) }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

function hostnameOf(hostHeader: string | undefined): string {
  const url = `http://${hostHeader ?? ''}`
  return URL.canParse(url) ? new URL(url).hostname : ''
}

function hostOf(origin: string): string | null {
  return URL.canParse(origin) ? new URL(origin).host : null
}
