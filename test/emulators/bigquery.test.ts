import { startBigquery } from './start-bigquery.ts'
import { warehouseContract } from './warehouse-contract.ts'

warehouseContract('BigQuery', startBigquery)
