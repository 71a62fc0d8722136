import { createHash, timingSafeEqual } from 'node:crypto'
import { OperatorError } from '@heapferry/domain'
import { type Request, type RequestHandler, type Response, Router } from 'express'
import { ipKeyGenerator, type RateLimitRequestHandler, rateLimit } from 'express-rate-limit'
import { z } from 'zod'
import { forms, type Role, type Visitor } from './access.ts'
import { loginPage } from './login-page.ts'
import { Sessions } from './sessions.ts'

export interface Passwords {
  operator: string
  /** Null where there are only operators. */
  viewer: string | null
}

/** @throws OperatorError where the two cannot be told apart */
export function assertDifferent({ operator, viewer }: Passwords): void {
  if (operator !== viewer) return
  throw new OperatorError(
    'The passwords of operators and viewers are the same',
    'Set HEAPFERRY_DASHBOARD_VIEWER_PASSWORD to another one, or leave it out.',
  )
}

const guessesAtOnce = 10
const lockedMs = 10 * 60_000

/**
 * Asks everyone for a password: people by a form, which opens a session in this process, programs by
 * `Authorization: Bearer PASSWORD`. Ten wrong ones from an address lock it out for ten minutes. With a session also end
 * the streams that were opened in it.
 */
export function passwordAccess(passwords: Passwords): Router {
  const roleOf = roleBy(passwords)
  const sessions = new Sessions()
  const guesses = rateLimit({
    windowMs: lockedMs,
    limit: guessesAtOnce,
    standardHeaders: 'draft-8',
    legacyHeaders: false,
    // Without `trust proxy` every client of a proxy has its address: then they are locked out together.
    validate: { xForwardedForHeader: false },
    keyGenerator: addressOf,
  })
  const unlessLocked = refuseLocked(guesses)
  const router = Router()
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
    const name = form.data.name === '' ? role : form.data.name
    sessions.begin({ name, role, signedIn: true }, request, response)
    response.redirect(303, next)
  })
  router.post('/logout', (request, response) => {
    sessions.end(request, response)
    response.redirect(303, '/login')
  })
  router.use((request, response, next) => {
    const visitor = sessions.visitorOf(request, response)
    if (visitor !== null) {
      response.locals.visitor = visitor
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

const LoginForm = z.object({
  name: z.string().trim().max(40).default(''),
  password: z.string().max(1000),
  next: z.string().optional(),
})

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

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** Comes before any look at a password: whoever is locked out learns nothing, not even that one is right. */
function refuseLocked(guesses: RateLimitRequestHandler): RequestHandler {
  return async (request, response, next) => {
    const seen = await guesses.getKey(addressOf(request))
    if (seen === undefined || seen.totalHits < guessesAtOnce) return next()
    const seconds = Math.ceil(((seen.resetTime?.getTime() ?? Date.now() + lockedMs) - Date.now()) / 1000)
    response
      .status(429)
      .set('Retry-After', String(Math.max(seconds, 1)))
      .type('text')
    response.send('Too many wrong passwords from this address. Try again in ten minutes.\n')
  }
}

function addressOf(request: Request): string {
  return ipKeyGenerator(request.ip ?? '')
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

/** Only paths of this server: `//host` and `/\host` lead away from it. */
function ownPath(next: unknown): string {
  return typeof next === 'string' && /^\/(?![/\\])[^\s\\]*$/.test(next) ? next : '/'
}
