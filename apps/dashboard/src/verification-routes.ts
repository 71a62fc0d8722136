import type { Run, TimelineLedger, VerificationLedger } from '@heapferry/domain'
import type { Express } from 'express'
import { onlyOperators, type Visitor, visitorOf } from './access.ts'
import type { FindRun } from './find-run.ts'
import type { LiveHub } from './live-hub.ts'
import { type Content, liveOf } from './page.ts'
import type { PageVerifications } from './page-verifications.ts'
import { questionPage } from './question.ts'
import { refuse, send } from './send.ts'
import { html } from './html.ts'
import { eventsOnPage, verificationPage, VerificationQuery } from './verification-page.ts'

export interface VerificationRoutes {
  ledger: VerificationLedger & TimelineLedger
  hub: LiveHub
  verifications: PageVerifications
  findRun: FindRun
}

/** What PostHog was found to hold of a run, and the button that looks again. */
export function addVerificationRoutes(app: Express, { ledger, hub, verifications, findRun }: VerificationRoutes): void {
  const contentOf = async (run: Run, asked: VerificationQuery, { role }: Visitor): Promise<Content> => {
    const [timeline, underWay] = await Promise.all([ledger.timeline(run.id), ledger.verificationUnderWay(run.id)])
    const last = await verifications.last(run, timeline)
    const events = last === null ? [] : await ledger.verifiedEvents(run.id, eventsOnPage(last, asked))
    const isOperator = role === 'operator'
    const failed = timeline.findLast(({ kind }) => kind === 'verification_failed' || kind === 'verified')
    return verificationPage(run, asked, {
      last,
      events,
      underWay,
      failure: failed?.kind === 'verification_failed' ? failed : null,
      offers: isOperator && verifications.offers(run),
      showsIds: isOperator,
    })
  }

  app.get('/runs/:id/verification', async ({ params: { id }, query }, response) => {
    const run = await findRun(id, response)
    if (run !== null) send(response, await contentOf(run, VerificationQuery.parse(query), visitorOf(response)))
  })
  app.get('/live/runs/:id/verification', async ({ params: { id }, query }, response) => {
    const run = await findRun(id, response)
    if (run === null) return
    const asked = VerificationQuery.parse(query)
    const visitor = visitorOf(response)
    const page = `/runs/${run.id}/verification ${visitor.role} ${JSON.stringify(asked)}`
    hub.join(page, response, async () => liveOf(await contentOf(run, asked, visitor), null))
  })
  app.get('/runs/:id/verify', onlyOperators, async ({ params: { id } }, response, next) => {
    const run = await findRun(id, response)
    if (run === null) return
    if (!verifications.offers(run)) return next()
    send(
      response,
      questionPage({
        title: `Verify ${run.id}?`,
        address: `/runs/${run.id}/verify`,
        body: html`<p>PostHog is asked what it holds of this run, with the dashboard’s personal key, and that is compared with what was sent, by event and day. Where it differs, and to count people in a small run, the export is read again, which may take minutes. Nothing is sent.</p>`,
        button: 'Verify',
        leave: { address: `/runs/${run.id}#verify`, text: 'Leave it' },
      }),
    )
  })
  app.post('/runs/:id/verify', onlyOperators, async ({ params: { id } }, response) => {
    const run = await findRun(id, response)
    if (run === null) return
    const other = await verifications.begin(run, visitorOf(response).name)
    if (other === null) return response.redirect(303, `/runs/${run.id}/verification`)
    const since = new Date(other.sinceMs).toISOString().slice(11, 19)
    const text = `${other.by} verifies ${run.id} since ${since} UTC. Its page shows how far that is, and what it finds.`
    refuse(response, 409, 'A verification is under way', text)
  })
}
