import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { z } from 'zod'
import { standInServer } from './stand-in-server.ts'
import type { TestPostgres } from './start-postgres.ts'

/** What is answered instead, once. */
interface Refusal {
  status: number
  /** As AWS calls it on the wire. */
  code: string
  message: string
}

export interface TestIam {
  endpoint: string
  /** What was asked for, in order. */
  asked: { action: string; name: string; database: string; region: string }[]
  /** All that were given out. */
  passwords: string[]
  refusals: Refusal[]
}

/** The database user of a role of AWS that is called heapferry. */
export const iamUser = 'IAMR:heapferry'

/**
 * A stand-in of our own for the two operations of AWS that give out temporary passwords: GetClusterCredentialsWithIAM of Amazon
 * Redshift (AWS Query, XML) and GetCredentials of Redshift Serverless (AWS JSON 1.1), made after Amazon's models of them. Each
 * password is really that of a user of a PostgreSQL, and the one before it is good no longer. AWS's own SDK asks for them.
 *
 * moto, which serves S3 here, has neither of the two (only GetClusterCredentials, with passwords that nothing takes).
 * It checks that a request is signed for a service and a region, not by whom, and knows no policies: a refusal is what a test says.
 */
export async function startIam(postgres: Pick<TestPostgres, 'query'>): Promise<TestIam> {
  const told: TestIam = { endpoint: '', asked: [], passwords: [], refusals: [] }
  told.endpoint = await standInServer((request, response) => answer(request, response, postgres, told))
  return told
}

const Serverless = z.strictObject({ workgroupName: z.string(), dbName: z.string() })

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  postgres: Pick<TestPostgres, 'query'>,
  told: TestIam,
): Promise<void> {
  const body = Buffer.concat(await request.toArray()).toString('utf8')
  const [, region = '', service = ''] =
    /Credential=[^/]+\/\d{8}\/([^/]+)\/([^/]+)\/aws4_request/.exec(request.headers.authorization ?? '') ?? []
  const isServerless = request.headers['x-amz-target'] === 'RedshiftServerless.GetCredentials'
  if (service !== (isServerless ? 'redshift-serverless' : 'redshift')) throw new Error(`signed for ${service}`)
  const requestId = '5b6e1f0a-0000-4000-8000-000000000000'
  const send = (status: number, text: string): void => {
    response.writeHead(status, {
      'content-type': isServerless ? 'application/x-amz-json-1.1' : 'text/xml',
      'x-amzn-requestid': requestId,
    })
    response.end(text)
  }
  const refusal = told.refusals.shift()
  if (refusal !== undefined) {
    const { status, code, message } = refusal
    if (isServerless) return send(status, JSON.stringify({ __type: code, message }))
    const type = status < 500 ? 'Sender' : 'Receiver'
    return send(
      status,
      `<ErrorResponse xmlns="http://redshift.amazonaws.com/doc/2012-12-01/"><Error><Type>${type}</Type><Code>${code}</Code><Message>${message}</Message></Error><RequestId>${requestId}</RequestId></ErrorResponse>`,
    )
  }
  const password = randomBytes(24).toString('base64')
  const [seconds, next] = [Math.floor(Date.now() / 1000) + 900, Math.floor(Date.now() / 1000) + 450]
  const given = async (action: string, name: string, database: string): Promise<void> => {
    await postgres.query(`alter role "${iamUser}" password '${password}'`)
    told.asked.push({ action, name, database, region })
    told.passwords.push(password)
  }
  if (isServerless) {
    const { workgroupName, dbName } = Serverless.parse(JSON.parse(body))
    await given('GetCredentials', workgroupName, dbName)
    return send(
      200,
      JSON.stringify({ dbUser: iamUser, dbPassword: password, expiration: seconds, nextRefreshTime: next }),
    )
  }
  const { Action, Version, ClusterIdentifier, DbName, ...more } = Object.fromEntries(new URLSearchParams(body))
  if (Action !== 'GetClusterCredentialsWithIAM' || Version !== '2012-12-01' || Object.keys(more).length > 0)
    throw new Error(`no request that the stand-in knows: ${body}`)
  await given(Action, ClusterIdentifier ?? '', DbName ?? '')
  const [until, refresh] = [seconds, next].map((at) => new Date(at * 1000).toISOString())
  const result = `<DbUser>${iamUser}</DbUser><DbPassword>${password}</DbPassword><Expiration>${until}</Expiration><NextRefreshTime>${refresh}</NextRefreshTime>`
  send(
    200,
    `<${Action}Response xmlns="http://redshift.amazonaws.com/doc/2012-12-01/"><${Action}Result>${result}</${Action}Result><ResponseMetadata><RequestId>${requestId}</RequestId></ResponseMetadata></${Action}Response>`,
  )
}
