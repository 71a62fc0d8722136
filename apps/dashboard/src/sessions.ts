import { createHash, randomBytes } from 'node:crypto'
import type { Request, Response } from 'express'
import type { Visitor } from './access.ts'

interface Session {
  visitor: Visitor
  /** What is being answered, such as the streams of open pages. */
  answering: Set<Response>
}

const sessionMs = 12 * 3_600_000
const cookieName = 'heapferry_session'

/** Who has signed in to this process: a cookie holds the token of each. */
export class Sessions {
  // By hash: whoever reads this process's memory dump finds no token that opens a session.
  readonly #byHash = new Map<string, Session>()

  begin(visitor: Visitor, request: Request, response: Response): void {
    const token = randomBytes(32).toString('base64url')
    const hash = hashOf(token)
    this.#byHash.set(hash, { visitor, answering: new Set() })
    setTimeout(() => this.#end(hash), sessionMs).unref()
    response.cookie(cookieName, token, {
      httpOnly: true,
      sameSite: 'strict',
      maxAge: sessionMs,
      path: '/',
      secure: request.headers['x-forwarded-proto'] === 'https',
    })
  }

  /** Whose request it is; null where no session is open. The answer ends with the session, if it has not before. */
  visitorOf(request: Request, response: Response): Visitor | null {
    const session = this.#byHash.get(hashOf(tokenOf(request)))
    if (!session) return null
    session.answering.add(response)
    response.on('close', () => session.answering.delete(response))
    return session.visitor
  }

  /** With a session also end the streams that were opened in it. */
  end(request: Request, response: Response): void {
    this.#end(hashOf(tokenOf(request)))
    response.clearCookie(cookieName, { path: '/' })
  }

  #end(hash: string): void {
    for (const response of this.#byHash.get(hash)?.answering ?? []) response.end()
    this.#byHash.delete(hash)
  }
}

/** Empty where there is none, which opens nothing. */
function tokenOf(request: Request): string {
  const found = (request.headers.cookie ?? '').split(/; */).find((pair) => pair.startsWith(`${cookieName}=`))
  return found === undefined ? '' : found.slice(cookieName.length + 1)
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}
