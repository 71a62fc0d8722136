import { bucketContract } from './bucket-contract.ts'
import { startSnowflake } from './start-snowflake.ts'

bucketContract('Snowflake', async () => {
  const { snowflake, ...warehouse } = await startSnowflake()
  return {
    warehouse,
    scheme: 's3',
    wrongStage: ['gs://acme/heap', 'Give s3://bucket/prefix with --stage'],
    settings: { SNOWFLAKE_STORAGE_INTEGRATION: 'heap_bucket' },
    into: async (store) => void (await snowflake.state({ store: store.endpoint })),
    writings: async () => (await snowflake.state({})).copies,
    miscount: async () => void (await snowflake.state({ miscounts: true })),
  }
})
