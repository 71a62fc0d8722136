import type { RequestHandler } from 'express'
import helmet, { contentSecurityPolicy } from 'helmet'

const ownContent = {
  defaultSrc: ["'self'"],
  baseUri: ["'self'"],
  formAction: ["'self'"],
  frameAncestors: ["'none'"],
  objectSrc: ["'none'"],
}

/** Nothing may be framed or ask another host for anything. Nothing is said about TLS: a proxy may add it, or not. */
export const securityHeaders: RequestHandler = helmet({
  contentSecurityPolicy: { useDefaults: false, directives: ownContent },
  strictTransportSecurity: false,
  xFrameOptions: { action: 'deny' },
})

/** Bull Board styles elements inline. */
export const boardContentPolicy: RequestHandler = contentSecurityPolicy({
  useDefaults: false,
  directives: { ...ownContent, styleSrc: ["'self'", "'unsafe-inline'"], imgSrc: ["'self'", 'data:'] },
})
