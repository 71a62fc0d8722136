import { bucketContract } from './bucket-contract.ts'
import { startBigquery } from './start-bigquery.ts'

bucketContract('BigQuery', async () => {
  const { bigquery, ...warehouse } = await startBigquery()
  return {
    warehouse,
    scheme: 'gs',
    wrongStage: ['s3://acme/heap', 'Give gs://bucket/prefix with --stage'],
    settings: {},
    into: async (store) => void Object.assign(bigquery, { store, miscounts: null }),
    writings: async () =>
      [...bigquery.jobs.values()].map(({ query }) => query).filter((sql) => sql.startsWith('EXPORT')),
    miscount: async () => void (bigquery.miscounts = 'next'),
  }
})
