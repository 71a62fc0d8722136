import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { isIPv4 } from 'node:net'
import { OperatorError } from '@heapferry/domain'
import express, { type Request, type RequestHandler, type Response, Router } from 'express'
import { ipKeyGenerator, rateLimit } from 'express-rate-limit'
import { z } from 'zod'
import { loginPage } from './login-page.ts'

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

export interface Passwords {
  operator: string
  /** Null where there are only operators. */
  viewer: string | null
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
  response.status(403).type('text').send('Viewers may look, not change. Sign in with the operator password.\n')
}

/** Where nobody but this machine can connect, whoever does may do everything but write to Bull Board. */
export const openToAll: RequestHandler = (_, response, next) => {
  const visitor: Visitor = { name: 'dashboard', role: 'operator', signedIn: false }
  response.locals.visitor = visitor
  next()
}

/** @throws OperatorError where the two cannot be told apart */
export function assertDifferent({ operator, viewer }: Passwords): void {
  if (operator !== viewer) return
  throw new OperatorError(
    'The passwords of operators and viewers are the same',
    'Set HEAPFERRY_DASHBOARD_VIEWER_PASSWORD to another one, or leave it out.',
  )
}

/** What forms of these pages send. */
export const forms: RequestHandler = express.urlencoded({ extended: false, limit: '10kb' })

interface Session {
  visitor: Visitor
  /** What is being answered, such as the streams of open pages. */
  answering: Set<Response>
}

const sessionMs = 12 * 3_600_000
const cookieName = 'heapferry_session'
const guessesAtOnce = 10
const lockedMs = 10 * 60_000

const LoginForm = z.object({
  name: z.string().trim().max(40).default(''),
  password: z.string().max(1000),
  next: z.string().optional(),
})

/**
 * Asks everyone for a password: people by a form, which opens a session in this process, programs by
 * `Authorization: Bearer PASSWORD`. Ten wrong ones from an address lock it out for ten minutes. With a session also end
 * the streams that were opened in it.
 */
export function passwordAccess(passwords: Passwords): Router {
  const roleOf = roleBy(passwords)
  const sessions = new Map<string, Session>()
  const guesses = rateLimit({
    windowMs: lockedMs,
    limit: guessesAtOnce,
    standardHeaders: 'draft-8',
    legacyHeaders: false,
    // Without `trust proxy` every client of a proxy has its address: then they are locked out together.
    validate: { xForwardedForHeader: false },
    keyGenerator: addressOf,
  })
  /** Comes before any look at a password: whoever is locked out learns nothing, not even that one is right. */
  const unlessLocked: RequestHandler = async (request, response, next) => {
    const seen = await guesses.getKey(addressOf(request))
    if (seen === undefined || seen.totalHits < guessesAtOnce) return next()
    const seconds = Math.ceil(((seen.resetTime?.getTime() ?? Date.now() + lockedMs) - Date.now()) / 1000)
    response
      .status(429)
      .set('Retry-After', String(Math.max(seconds, 1)))
      .type('text')
    response.send('Too many wrong passwords from this address. Try again in ten minutes.\n')
  }
  const router = Router()

  function endSession(hash: string): void {
    for (const response of sessions.get(hash)?.answering ?? []) response.end()
    sessions.delete(hash)
  }

  router.get('/login', (request, response) => {
    response.send(loginPage({ next: ownPath(request.query.next), wrong: false }))
  })
  // The form is read first: from the look at the lock to the count of a guess nothing else comes between.
  router.post('/login', forms, unlessLocked, async (request, response) => {
    const form = LoginForm.safeParse(request.body)
    const role = form.success ? roleOf(form.data.password) : null
    const next = ownPath(form.success ? form.data.next : undefined)
    if (!form.success || role === null) {
      await guesses(request, response, () => response.status(401).send(loginPage({ next, wrong: true })))
      return
    }
    const token = randomBytes(32).toString('base64url')
    const name = form.data.name === '' ? role : form.data.name
    // Whoever reads this process's memory dump finds no token that opens a session.
    const hash = digest(token).toString('hex')
    sessions.set(hash, { visitor: { name, role, signedIn: true }, answering: new Set() })
    setTimeout(() => endSession(hash), sessionMs).unref()
    response.cookie(cookieName, token, {
      httpOnly: true,
      sameSite: 'strict',
      maxAge: sessionMs,
      path: '/',
      secure: request.headers['x-forwarded-proto'] === 'https',
    })
    response.redirect(303, next)
  })
  router.post('/logout', (request, response) => {
    const token = cookieOf(request)
    if (token !== null) endSession(digest(token).toString('hex'))
    response.clearCookie(cookieName, { path: '/' })
    response.redirect(303, '/login')
  })

  router.use((request, response, next) => {
    const token = cookieOf(request)
    const session = token === null ? undefined : sessions.get(digest(token).toString('hex'))
    if (session) {
      response.locals.visitor = session.visitor
      session.answering.add(response)
      response.on('close', () => session.answering.delete(response))
      return next('router')
    }
    // Only what carries a password is a guess.
    if (request.headers.authorization === undefined) return refuse(request, response)
    next()
  })
  router.use(unlessLocked, async (request, response, next) => {
    const bearer = /^bearer +(.*\S) *$/i.exec(request.headers.authorization ?? '')?.[1] ?? ''
    const role = roleOf(bearer)
    if (role === null) {
      await guesses(request, response, () => refuse(request, response))
      return
    }
    response.locals.visitor = { name: `${role} (token)`, role, signedIn: true } satisfies Visitor
    next()
  })
  return router
}

/** A page for people, a challenge for programs. */
function refuse(request: Request, response: Response): void {
  const isPage = request.method === 'GET' && request.headers.authorization === undefined && request.accepts('html')
  if (isPage && request.headers.accept?.includes('text/html')) {
    response.redirect(303, `/login?next=${encodeURIComponent(request.originalUrl)}`)
    return
  }
  response.set('WWW-Authenticate', 'Bearer realm="heapferry"').status(401)
  response.json({ error: 'Sign in, or send Authorization: Bearer with the password of an operator or viewer.' })
}

function roleBy(passwords: Passwords): (given: string) => Role | null {
  const operator = digest(passwords.operator)
  const viewer = passwords.viewer === null ? null : digest(passwords.viewer)
  return (given) => {
    // Digests have one length, and both are always compared: the time taken tells nothing.
    const hash = digest(given)
    const isOperator = timingSafeEqual(hash, operator)
    const isViewer = viewer !== null && timingSafeEqual(hash, viewer)
    return isOperator ? 'operator' : isViewer ? 'viewer' : null
  }
}

function addressOf(request: Request): string {
  return ipKeyGenerator(request.ip ?? '')
}

/** Only paths of this server: `//host` and `/\host` lead away from it. */
function ownPath(next: unknown): string {
  return typeof next === 'string' && /^\/(?![/\\])[^\s\\]*$/.test(next) ? next : '/'
}

function cookieOf(request: Request): string | null {
  const found = (request.headers.cookie ?? '').split(/; */).find((pair) => pair.startsWith(`${cookieName}=`))
  return found === undefined ? null : found.slice(cookieName.length + 1)
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
