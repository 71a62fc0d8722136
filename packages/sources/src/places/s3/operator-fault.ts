import { errorMessage, OperatorError } from '@heapferry/domain'
import { passes, statusOf } from './retried.ts'

/**
 * What a person can do about a failure of a store.
 * @param what was to be done with what, such as `s3://acme/pageviews.csv cannot be read`
 */
export function operatorFault(what: string, cause: unknown): OperatorError {
  if (cause instanceof OperatorError) return cause
  const name = cause instanceof Error ? cause.name : ''
  const message = errorMessage(cause)
  // A HEAD has no body to name the error in: all that is left is the status, which the SDK calls UnknownError.
  const said = [name, message, statusOf(cause)].filter((part) => part !== undefined && part !== '' && part !== 'Error')
  return new OperatorError(`${what}: ${said.join(', ')}`, hintFor(name, cause), { cause })
}

/** What to do where an error of AWS is of the credentials themselves, whatever was asked for with them. */
export function credentialsHint(name: string): string | undefined {
  switch (name) {
    case 'CredentialsProviderError':
    case 'TokenProviderError':
      return 'Give credentials in one of the ways of the AWS SDK: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE with ~/.aws, `aws sso login`, or the role of the machine. They are read from the environment, not from .env.'
    case 'ExpiredToken':
    case 'RequestExpired':
    case 'ExpiredTokenException':
    case 'TokenRefreshRequired':
      return 'Renew the credentials (`aws sso login`, or new AWS_* variables), then start the same command again.'
    case 'InvalidAccessKeyId':
    case 'InvalidClientTokenId':
    case 'UnrecognizedClientException':
    case 'SignatureDoesNotMatch':
    case 'InvalidSignatureException':
    case 'InvalidToken':
      return 'Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the profile that AWS_PROFILE names.'
    default:
      return undefined
  }
}

function hintFor(name: string, cause: unknown): string {
  const ofCredentials = credentialsHint(name)
  if (ofCredentials !== undefined) return ofCredentials
  switch (name) {
    case 'NoSuchBucket':
      return 'Check the name of the bucket; for a store other than AWS also HEAPFERRY_S3_ENDPOINT.'
    case 'InvalidObjectState':
      return 'The object is archived. Restore it, or copy it to a storage class that can be read.'
    case 'PermanentRedirect':
    case 'AuthorizationHeaderMalformed':
      return "Set AWS_REGION to the bucket's region."
  }
  if (statusOf(cause) === 403) {
    return 'The credentials need s3:ListBucket on the bucket and s3:GetObject on its objects (and kms:Decrypt where they are encrypted with a key). A bucket whose readers pay wants HEAPFERRY_S3_REQUESTER_PAYS=true.'
  }
  if (passes(cause)) {
    return 'Check the network, and HEAPFERRY_S3_ENDPOINT if it is set; then start the same command again: it goes on where it was.'
  }
  return 'Check the address, HEAPFERRY_S3_ENDPOINT and HEAPFERRY_S3_PATH_STYLE.'
}
