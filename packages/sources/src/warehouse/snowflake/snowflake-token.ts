import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto'
import { errorMessage, OperatorError } from '@heapferry/domain'
import type { SnowflakeCredentials } from '../warehouse.ts'
import { nameOf } from './snowflake-address.ts'

// An hour is the most that Snowflake takes.
const goodForS = 59 * 60

/**
 * What a request carries to be let in. Of a key pair a new one each time, so that none can be too old.
 * https://docs.snowflake.com/en/developer-guide/sql-api/authenticating
 * @throws OperatorError when the key cannot be used
 */
export function snowflakeToken(account: string, credentials: SnowflakeCredentials): { type: string; text: string } {
  if (credentials.kind === 'token') return credentials
  const key = keyOf(credentials)
  // A locator stands before its region there.
  const who = `${account.split('.', 1)[0]?.toUpperCase()}.${nameOf(credentials.user)}`
  const print = createHash('sha256')
    .update(createPublicKey(key).export({ type: 'spki', format: 'der' }))
    .digest('base64')
  const nowS = Math.floor(Date.now() / 1000)
  const claims = { iss: `${who}.SHA256:${print}`, sub: who, iat: nowS, exp: nowS + goodForS }
  const signed = [{ alg: 'RS256', typ: 'JWT' }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.')
  return { type: 'KEYPAIR_JWT', text: `${signed}.${sign('sha256', Buffer.from(signed), key).toString('base64url')}` }
}

function keyOf({ pem, passphrase }: Extract<SnowflakeCredentials, { kind: 'key' }>): KeyObject {
  const key = parsed()
  function parsed(): KeyObject {
    try {
      return createPrivateKey({ key: pem, ...(passphrase !== undefined && { passphrase }) })
    } catch (cause) {
      throw new OperatorError(
        `The private key of SNOWFLAKE_PRIVATE_KEY_FILE cannot be used: ${errorMessage(cause)}`,
        'It is a PEM file (-----BEGIN PRIVATE KEY----- or -----BEGIN ENCRYPTED PRIVATE KEY-----). The passphrase of an encrypted one is SNOWFLAKE_PRIVATE_KEY_PASSPHRASE, in the environment or in .env.',
        { cause },
      )
    }
  }
  if (key.asymmetricKeyType === 'rsa') return key
  throw new OperatorError(
    `The private key of SNOWFLAKE_PRIVATE_KEY_FILE is of the kind ${key.asymmetricKeyType}, and heapferry signs with RSA alone`,
    'Make one: openssl genrsa 2048 | openssl pkcs8 -topk8 -out rsa_key.p8',
  )
}

/** How far this machine's clock is away from the one that wrote `Date: …`; null where nothing is said. */
export function clockOffS(date: string | null): number | null {
  const thenMs = Date.parse(date ?? '')
  return Number.isNaN(thenMs) ? null : Math.round((Date.now() - thenMs) / 1000)
}
