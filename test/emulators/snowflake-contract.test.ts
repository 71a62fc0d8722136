import { startSnowflake } from './start-snowflake.ts'
import { warehouseContract } from './warehouse-contract.ts'

warehouseContract('Snowflake', startSnowflake)
