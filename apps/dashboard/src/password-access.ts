import { createHash, timingSafeEqual } from 'node:crypto'
import type { Logger } from '@heapferry/config'
import { isReservedName, OperatorError } from '@heapferry/domain'
import { type Request, type Response, Router } from 'express'
import { ipKeyGenerator, rateLimit } from 'express-rate-limit'
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
const countedMs = 10 * 60_000
const warnEveryMs = 60_000

/**
 * Asks everyone for a password: people by a form, which opens a session in this process, programs by
 * `Authorization: Bearer PASSWORD`. A right one is always taken: whoever could have it refused by guessing would keep its
 * owners out. After ten wrong ones a client is told 429, and the log names it. With a session also end the streams that were
 * opened in it.
 */
export function passwordAccess(passwords: Passwords, logger: Logger): Router {
  const roleOf = roleBy(passwords)
  const sessions = new Sessions()
  let warnedAtMs = -Infinity
  const guesses = rateLimit({
    windowMs: countedMs,
    limit: guessesAtOnce,
    standardHeaders: 'draft-8',
    legacyHeaders: false,
    // Clients of a proxy that is not trusted are counted together; that locks none of them out.
    validate: { xForwardedForHeader: false },
    keyGenerator: (request) => ipKeyGenerator(request.ip ?? ''),
    handler: (request, response) => {
      const now = Date.now()
      // Once in a while, or whoever guesses fills the log as well.
      if (now - warnedAtMs > warnEveryMs) {
        logger.warn({ client: request.ip }, 'too many wrong passwords')
        warnedAtMs = now
      }
      response
        .status(429)
        .type('text')
        .send('Too many wrong passwords from this address. Only the right one will be taken.\n')
    },
  })
  const router = Router()
  router.get('/login', (request, response) => {
    response.send(loginPage({ next: ownPath(request.query.next), wrong: null }))
  })
  router.post('/login', forms, async (request, response) => {
    const form = LoginForm.safeParse(request.body)
    const role = form.success ? roleOf(form.data.password) : null
    const next = ownPath(form.success ? form.data.next : undefined)
    if (!form.success || role === null) {
      const wrong = 'That is neither the operator’s nor the viewer’s password.'
      await guesses(request, response, () => response.status(401).send(loginPage({ next, wrong })))
      return
    }
    const { name } = form.data
    if (isReservedName(name) && name !== role) {
      const wrong = `Nobody can sign in as ${name}: the history of runs would take you for heapferry itself. Give your own name, or none.`
      response.status(400).send(loginPage({ next, wrong }))
      return
    }
    sessions.begin({ name: name === '' ? role : name, role, signedIn: true }, request, response)
    response.redirect(303, next)
  })
  router.post('/logout', (request, response) => {
    sessions.end(request, response)
    response.redirect(303, '/login')
  })
  router.use(async (request, response, next) => {
    const visitor = sessions.visitorOf(request, response) ?? bearerOf(request, roleOf)
    if (visitor !== null) {
      response.locals.visitor = visitor
      return next('router')
    }
    // Only what carries a password is a guess.
    if (request.headers.authorization === undefined) return refuse(request, response)
    await guesses(request, response, () => refuse(request, response))
  })
  return router
}

function bearerOf(request: Request, roleOf: (given: string) => Role | null): Visitor | null {
  const bearer = /^bearer +(.*\S) *$/i.exec(request.headers.authorization ?? '')?.[1] ?? ''
  const role = roleOf(bearer)
  return role === null ? null : { name: `${role} (token)`, role, signedIn: true }
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
