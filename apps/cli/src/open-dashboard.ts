import { s3OptionsOf, type Settings, workStoreOf } from '@heapferry/config'
import { type Dashboard, type DashboardOptions, startDashboard } from '@heapferry/dashboard'
import { OperatorError } from '@heapferry/domain'
import type { RedisLedger } from '@heapferry/queue'
import { spawnRetry } from './spawn-retry.ts'
import { verifyForPages } from './verify-for-pages.ts'
import { version } from './version.ts'

/** The dashboard of a run command, which takes another port where its own is taken: by another run, perhaps. */
export async function openDashboard(...asked: Parameters<typeof dashboardOptions>): Promise<Dashboard> {
  const wanted = dashboardOptions(...asked)
  return startDashboard(wanted).catch((error: unknown) => {
    if (error instanceof OperatorError && wanted.port !== 0) return startDashboard({ ...wanted, port: 0 })
    throw error
  })
}

export function dashboardOptions(
  settings: Settings,
  redisUrl: string,
  served: Pick<DashboardOptions, 'redis' | 'logger'> & { ledger: RedisLedger },
): DashboardOptions {
  const { HEAPFERRY_DASHBOARD_PASSWORD: operator, HEAPFERRY_DASHBOARD_VIEWER_PASSWORD: viewer } = settings
  if (operator === undefined && viewer !== undefined) {
    throw new OperatorError(
      'HEAPFERRY_DASHBOARD_VIEWER_PASSWORD is set and HEAPFERRY_DASHBOARD_PASSWORD is not',
      'Set both: without a password of operators, nobody could act.',
    )
  }
  return {
    ...served,
    host: settings.HEAPFERRY_DASHBOARD_HOST,
    port: settings.HEAPFERRY_DASHBOARD_PORT,
    s3: s3OptionsOf(settings),
    store: workStoreOf(settings),
    version,
    trustedProxies: settings.HEAPFERRY_DASHBOARD_TRUSTED_PROXIES,
    retry: spawnRetry(settings, redisUrl, served),
    verify: verifyForPages(settings, served.ledger),
    passwords: operator === undefined ? null : { operator, viewer: viewer ?? null },
  }
}
