import { errorMessage, OperatorError } from '@heapferry/domain'
import { loadPeer } from '../load-peer.ts'

/** What a request is signed with; renewed before it ends. */
export type Authorize = (url: string) => Promise<Iterable<[string, string]>>

const scope = 'https://www.googleapis.com/auth/bigquery'

/**
 * Credentials as Google's own tools find them: a key file or one of workload identity, what gcloud has left, or the machine's own.
 * @param keyFile of GOOGLE_APPLICATION_CREDENTIALS
 * @throws OperatorError when there are none, or none that can be used: then, or when a request is to be signed
 */
export async function googleCredentials(keyFile: string | undefined): Promise<Authorize> {
  const { GoogleAuth } = await loadPeer(() => import('google-auth-library'), {
    what: 'A BigQuery is read by the npm package google-auth-library',
    install: 'google-auth-library@10',
  })
  const auth = new GoogleAuth({ scopes: [scope], ...(keyFile !== undefined && { keyFilename: keyFile }) })
  const client = await auth.getClient().catch((cause: unknown) => {
    throw unusable(cause, keyFile)
  })
  return async (url) => {
    try {
      return (await client.getRequestHeaders(url)).entries()
    } catch (error) {
      throw isOfTheWay(error) ? error : unusable(error, keyFile)
    }
  }
}

/** Whoever gives tokens was not reached, or has a bad moment. */
function isOfTheWay(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if ('status' in error && typeof error.status === 'number') return error.status >= 500
  return (
    'code' in error &&
    typeof error.code === 'string' &&
    /^(?:ECONN|ETIMEDOUT|ENOTFOUND|EAI_|EPIPE|UND_)/.test(error.code)
  )
}

function unusable(cause: unknown, keyFile: string | undefined): OperatorError {
  // What cannot be parsed is quoted by what it says, and a key would be in it.
  const isQuoted = cause instanceof SyntaxError
  return new OperatorError(
    keyFile === undefined
      ? `There are no credentials of Google here that can be used: ${errorMessage(cause)}`
      : `The credentials in ${keyFile} cannot be used: ${isQuoted ? 'it is no JSON' : errorMessage(cause)}`,
    'Run gcloud auth application-default login, or name the key file of a service account in GOOGLE_APPLICATION_CREDENTIALS (environment or .env), which nobody else may read.',
    isQuoted ? {} : { cause },
  )
}
