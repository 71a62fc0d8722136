import { vi } from 'vitest'
import { bucketContract, bucketSource } from '../sources/bucket-contract.ts'
import { sourceContract } from '../sources/source-contract.ts'
import { startMoto } from './start-moto.ts'

vi.stubEnv('AWS_ACCESS_KEY_ID', 'test')
vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'test')
vi.stubEnv('AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED', 'true')

bucketContract('a bucket of moto', startMoto)
sourceContract('CSV in a bucket of moto', bucketSource(startMoto))
