import type { QueueStates, RunLedger, TimelineLedger } from '@heapferry/domain'
import type { Express } from 'express'
import { forms, onlyOperators, visitorOf } from './access.ts'
import { act, confirmation, isAction, PaceForm, paceQuestion } from './actions.ts'
import type { Board } from './board.ts'
import type { FindRun } from './find-run.ts'
import { send } from './send.ts'

export interface ActionRoutes {
  ledger: RunLedger & QueueStates & TimelineLedger
  board: Board
  findRun: FindRun
}

/** What operators change: each action is asked for by a link, and done by the form behind it. */
export function addActionRoutes(app: Express, { ledger, board, findRun }: ActionRoutes): void {
  app.get('/runs/:id/pace', onlyOperators, async ({ params: { id } }, response) => {
    const run = await findRun(id, response)
    if (run !== null) send(response, paceQuestion(run, (await ledger.progress(run.id)).pace.limit, null))
  })
  app.post('/runs/:id/pace', onlyOperators, forms, async ({ params: { id }, body }, response) => {
    const run = await findRun(id, response)
    if (run === null) return
    const form = PaceForm.safeParse(body)
    if (!form.success) {
      response.status(400)
      const { limit } = (await ledger.progress(run.id)).pace
      return send(response, paceQuestion(run, limit, 'Enter a whole number from 1 up, or leave it empty.'))
    }
    await ledger.setPace(run.id, form.data.pace, visitorOf(response).name)
    response.redirect(303, `/runs/${run.id}`)
  })
  app.get('/runs/:id/:action', onlyOperators, async ({ params: { id, action } }, response, next) => {
    if (!isAction(action)) return next()
    const run = await findRun(id, response)
    if (run !== null) send(response, confirmation(run, action))
  })
  app.post('/runs/:id/:action', onlyOperators, async ({ params: { id, action } }, response, next) => {
    if (!isAction(action)) return next()
    const run = await findRun(id, response)
    if (run === null) return
    await act(action, { run, ledger, board, by: visitorOf(response).name })
    response.redirect(303, `/runs/${run.id}`)
  })
}
