import { existsSync } from 'node:fs'
import { env, stderr } from 'node:process'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, onTestFinished, test } from 'vitest'

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)
let browser: Browser | undefined

beforeAll(async () => {
  if (executablePath === undefined && env.CI !== undefined) {
    throw new Error('No Chromium is installed (looked in /usr/bin), so nobody looks at the pages')
  }
  if (executablePath === undefined) stderr.write('The pages are not looked at: no Chromium is installed in /usr/bin\n')
  // Chromium's sandbox needs rights that containers do not have; the pages are our own.
  if (executablePath !== undefined) browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
})
afterAll(() => browser?.close())

/** `trouble`: what the console said that is not good, and requests that left for another host. */
export function browserTest(name: string, body: (page: Page, trouble: readonly string[]) => Promise<void>): void {
  test(name, async (context) => {
    const opened = browser ?? context.skip('no Chromium is installed in /usr/bin')
    const page = await opened.newPage()
    onTestFinished(() => page.close())
    const trouble: string[] = []
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') trouble.push(message.text())
    })
    page.on('pageerror', (error) => trouble.push(error.message))
    page.on('requestfinished', (request) => {
      if (new URL(request.url()).hostname !== '127.0.0.1') trouble.push(`a request went to ${request.url()}`)
    })
    page.on('requestfailed', (request) => {
      const { hostname } = new URL(request.url())
      const reason = request.failure()?.errorText ?? ''
      if (hostname !== '127.0.0.1' && reason !== 'csp') trouble.push(`a request went to ${request.url()}: ${reason}`)
    })
    await body(page, trouble)
  })
}
