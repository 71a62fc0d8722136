import { isIPv4 } from 'node:net'
import express, { type RequestHandler, type Response } from 'express'

/** Viewers look; operators also pause, resume, cancel and retry. */
export type Role = 'viewer' | 'operator'

/** Who makes a request. */
export interface Visitor {
  /** As the timeline of a run names them. */
  name: string
  role: Role
  /** Has shown a password: where none is wanted, nobody has. */
  signedIn: boolean
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

/** @throws Error where no access control has been passed */
export function visitorOf(response: Response): Visitor {
  const { visitor } = response.locals
  if (visitor === undefined) throw new Error('a page was asked for before access was decided')
  return visitor
}

export const onlyOperators: RequestHandler = (_, response, next) => {
  if (visitorOf(response).role === 'operator') return next()
  response
    .status(403)
    .type('text')
    .send('Viewers may look but not change anything. Sign in with the operator password.\n')
}

/** Where nobody but this machine can connect, whoever does may do everything but write to Bull Board. */
export const openToAll: RequestHandler = (_, response, next) => {
  const visitor: Visitor = { name: 'dashboard', role: 'operator', signedIn: false }
  response.locals.visitor = visitor
  next()
}

/** What forms of these pages send. */
export const forms: RequestHandler = express.urlencoded({ extended: false, limit: '10kb' })

function hostnameOf(hostHeader: string | undefined): string {
  const url = `http://${hostHeader ?? ''}`
  return URL.canParse(url) ? new URL(url).hostname : ''
}

function hostOf(origin: string): string | null {
  return URL.canParse(origin) ? new URL(origin).host : null
}
