import type { Response } from 'express'
import { visitorOf } from './access.ts'
import { boardPath } from './board.ts'
import { type Content, noticePage, pageOf } from './page.ts'

export function send(response: Response, content: Content): void {
  response.send(pageOf({ ...content, visitor: visitorOf(response) }))
}

/** A page for people, JSON for programs. */
export function refuse(response: Response, status: number, title: string, text: string): void {
  response.status(status)
  const { originalUrl } = response.req
  if (originalUrl.startsWith('/api/') || originalUrl.startsWith(`${boardPath}/api/`)) {
    response.json({ error: title, message: text })
  } else response.send(noticePage(title, text, response.locals.visitor ?? null))
}
