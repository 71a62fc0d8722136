import {
  type Answers,
  answerSeconds,
  type QueueState,
  type QueueStates,
  type Run,
  type RunLedger,
  type WorkerLedger,
} from '@heapferry/domain'
import { readRun, type RunStatus, type ServingWorker, troubleKinds } from '@heapferry/migration'
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client'

/** What a scrape tells of one run. */
export interface Measured {
  run: Run
  status: RunStatus
  queue: QueueState
  answers: Answers
  workers: readonly ServingWorker[]
}

/** Every run as it is now. */
export async function measure(ledger: RunLedger & WorkerLedger & QueueStates): Promise<Measured[]> {
  return Promise.all(
    (await ledger.runs()).map(async (run) => {
      const { status, queue, workers } = await readRun(run.id, ledger)
      return { run, status, queue, workers, answers: await ledger.answers(run.id) }
    }),
  )
}

/** How many of the workers have a fault. */
export function stuckOf(workers: readonly ServingWorker[]): number {
  return workers.filter(({ fault }) => fault !== null).length
}

export const metricsType = 'text/plain; version=0.0.4; charset=utf-8'

/** One exposition of all runs, in the text format of Prometheus. */
export async function metricsText(runs: readonly Measured[], redis: { usedBytes: number }): Promise<string> {
  metrics ??= createMetrics()
  metrics.set(runs, redis)
  return `${await metrics.registry.metrics()}\n${histogramText(runs)}`
}

let metrics: ReturnType<typeof createMetrics> | undefined

/**
 * Made once for the process: the default metrics watch its event loop and garbage collector for as long as it lives. All
 * others are set anew for every scrape: the ledger counts, and nothing is counted twice when the dashboard is started again.
 */
function createMetrics() {
  const registry = new Registry()
  const ofRuns: (Counter | Gauge)[] = []
  const counter = (name: string, help: string, labelNames: string[]) => {
    const made = new Counter({ name: `heapferry_${name}`, help, labelNames, registers: [registry] })
    ofRuns.push(made)
    return made
  }
  const gauge = (name: string, help: string, labelNames: string[]) => {
    const made = new Gauge({ name: `heapferry_${name}`, help, labelNames, registers: [registry] })
    ofRuns.push(made)
    return made
  }
  collectDefaultMetrics({ register: registry, prefix: 'heapferry_dashboard_' })

  const planned = gauge('rows_planned', 'Rows that the producer has counted.', ['run', 'table'])
  const read = counter('rows_read_total', 'Rows processed: sent, skipped or rejected.', ['run', 'table'])
  const sent = counter('rows_sent_total', 'Rows whose events PostHog has accepted.', ['run', 'table'])
  const skipped = counter('rows_skipped_total', 'Rows left out on purpose.', ['run', 'table', 'reason'])
  const rejected = counter('rows_rejected_total', 'Rows that could not be sent.', ['run', 'table', 'reason'])
  const warned = counter('rows_warned_total', 'Rows whose events were accepted with a warning.', [
    'run',
    'table',
    'warning',
  ])
  const rate = gauge('rows_per_second', 'Rows read per second over the last 15 s.', ['run'])
  const lag = gauge('rows_left', 'Rows planned but not read yet.', ['run'])
  const state = gauge('run_state', '1 for the state that the run is in.', ['run', 'state'])
  const trouble = gauge('run_trouble', '1 for what keeps the run from going on until somebody helps.', ['run', 'kind'])
  const chunks = gauge('chunks', 'Chunks of the open phase by their state in the queue.', ['run', 'state'])
  const phases = gauge('phase_chunks', 'Chunks of a phase, planned and done.', ['run', 'phase', 'state'])
  const answers = counter('posthog_answers_total', 'Answers of PostHog by HTTP status; "none" where none came.', [
    'run',
    'status',
  ])
  const workers = gauge('workers', 'Workers that report on the run.', ['run'])
  const stuckWorkers = gauge('workers_stuck', 'Workers that are alive but neither take nor finish chunks.', ['run'])
  const memory = gauge('worker_memory_bytes', 'Resident memory of a worker.', ['run', 'worker'])
  const redisMemory = gauge('redis_memory_bytes', 'Memory that Redis uses.', [])

  function set(runs: readonly Measured[], redis: { usedBytes: number }): void {
    for (const metric of ofRuns) metric.reset()
    redisMemory.set(redis.usedBytes)
    for (const {
      run: { id: run },
      status,
      queue,
      answers: answered,
      workers: serving,
    } of runs) {
      for (const { table, planned: rows, read: done, sent: delivered, ...reasons } of status.tables) {
        planned.set({ run, table }, rows)
        read.inc({ run, table }, done)
        sent.inc({ run, table }, delivered)
        for (const [reason, count] of Object.entries(reasons.skipped_by_reason))
          skipped.inc({ run, table, reason }, count)
        for (const [reason, count] of Object.entries(reasons.rejected_by_reason))
          rejected.inc({ run, table, reason }, count)
        for (const [warning, count] of Object.entries(reasons.warned_by_kind))
          warned.inc({ run, table, warning }, count)
      }
      rate.set({ run }, status.rate ?? 0)
      lag.set({ run }, Math.max(0, status.totals.planned - status.totals.read))
      state.set({ run, state: status.state }, 1)
      for (const kind of troubleKinds)
        trouble.set({ run, kind }, status.trouble.some((one) => one.kind === kind) ? 1 : 0)
      for (const one of ['waiting', 'active', 'failed'] as const) chunks.set({ run, state: one }, queue[one])
      for (const { phase, planned: all, done } of status.phases) {
        phases.set({ run, phase, state: 'planned' }, all)
        phases.set({ run, phase, state: 'done' }, done)
      }
      for (const [code, count] of Object.entries(answered.byStatus)) answers.inc({ run, status: code }, count)
      workers.set({ run }, serving.length)
      stuckWorkers.set({ run }, stuckOf(serving))
      for (const { pulse } of serving) memory.set({ run, worker: pulse.worker }, pulse.memoryBytes)
    }
  }

  return { registry, set }
}

const answerSecondsMetric = 'heapferry_posthog_answer_seconds'

/** prom-client's histograms take observations one by one; these were counted by the workers already. */
function histogramText(runs: readonly Measured[]): string {
  const lines = [
    `# HELP ${answerSecondsMetric} How long PostHog took to answer.`,
    `# TYPE ${answerSecondsMetric} histogram`,
  ]
  for (const {
    run,
    answers: { byTime, totalMs },
  } of runs) {
    let seen = 0
    for (const [index, count] of byTime.entries()) {
      seen += count
      lines.push(`${answerSecondsMetric}_bucket{le="${answerSeconds[index] ?? '+Inf'}",run="${run.id}"} ${seen}`)
    }
    lines.push(`${answerSecondsMetric}_sum{run="${run.id}"} ${totalMs / 1000}`)
    lines.push(`${answerSecondsMetric}_count{run="${run.id}"} ${seen}`)
  }
  return `${lines.join('\n')}\n`
}
