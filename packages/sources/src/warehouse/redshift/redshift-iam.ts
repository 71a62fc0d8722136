import { loadPeer } from '../load-peer.ts'
import { askAws } from './ask-aws.ts'
import type { RedshiftAddress, RedshiftName } from './redshift-address.ts'

export interface Login {
  user: string
  password: string
}

/**
 * A database user that belongs to the IAM identity of this process, and a password for it that is good for a quarter of an
 * hour, the least that AWS gives. It is looked at when a connection is made, and never after.
 * https://docs.aws.amazon.com/redshift/latest/APIReference/API_GetClusterCredentialsWithIAM.html
 * https://docs.aws.amazon.com/redshift-serverless/latest/APIReference/API_GetCredentials.html
 *
 * @throws OperatorError when AWS gives none
 */
export async function iamLogin({ text, database }: RedshiftAddress, named: RedshiftName): Promise<Login> {
  const { user, password } = await ask(text, database, named)
  if (user === undefined || password === undefined) throw new Error('AWS has answered without a user or a password')
  return { user, password }
}

interface Given {
  user: string | undefined
  password: string | undefined
}

async function ask(text: string, database: string, { kind, name, region }: RedshiftName): Promise<Given> {
  switch (kind) {
    case 'cluster': {
      const { RedshiftClient, GetClusterCredentialsWithIAMCommand } = await loadPeer(
        () => import('@aws-sdk/client-redshift'),
        peer('@aws-sdk/client-redshift'),
      )
      const client = new RedshiftClient({ region })
      const command = new GetClusterCredentialsWithIAMCommand({ ClusterIdentifier: name, DbName: database })
      const action = 'redshift:GetClusterCredentialsWithIAM'
      try {
        const given = await askAws(() => client.send(command), { text, name, region, actions: [action] })
        return { user: given.DbUser, password: given.DbPassword }
      } finally {
        client.destroy()
      }
    }
    case 'workgroup': {
      const { RedshiftServerlessClient, GetCredentialsCommand } = await loadPeer(
        () => import('@aws-sdk/client-redshift-serverless'),
        peer('@aws-sdk/client-redshift-serverless'),
      )
      const client = new RedshiftServerlessClient({ region })
      const command = new GetCredentialsCommand({ workgroupName: name, dbName: database })
      const action = 'redshift-serverless:GetCredentials'
      try {
        const given = await askAws(() => client.send(command), { text, name, region, actions: [action] })
        return { user: given.dbUser, password: given.dbPassword }
      } finally {
        client.destroy()
      }
    }
  }
}

function peer(name: string): { what: string; install: string } {
  return { what: `Logging in to a Redshift by IAM is done by the npm package ${name}`, install: name }
}
