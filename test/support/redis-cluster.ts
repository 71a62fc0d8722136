import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../../packages/queue/src/free-port.ts'
import { type RedisProcess, startAgain, startRedis } from './redis-process.ts'
import { until } from './until.ts'

export interface RedisCluster {
  /** Of one of its nodes. */
  url: string
  nodes: RedisProcess[]
  /** Which node is the primary of the slot now, as the first node sees it that answers. */
  primaryOf(slot: number): Promise<RedisProcess>
  /** Starts a node that has ended, and waits until the cluster is whole again. */
  startAgain(node: RedisProcess): Promise<void>
}

const slots = 16_384
/** How long a node is silent until it is taken for dead. */
const nodeTimeoutMs = 2000

/** The least of a Redis Cluster: one node with all slots. It refuses what is not in one slot, as any other. */
export async function startClusterOfOne(settings: readonly string[] = []): Promise<RedisProcess> {
  // Without another node that it has met, it would not know its own address.
  const own = ['--cluster-port', String(await freePort()), '--cluster-announce-ip', '127.0.0.1']
  const node = await startRedis([...clusterSettings, ...own, ...settings])
  await node.admin.cluster('ADDSLOTSRANGE', 0, slots - 1)
  await until('the cluster is whole', async () => /cluster_state:ok/.test(await node.admin.cluster('INFO')))
  return node
}

/** A Redis Cluster of three primaries with a replica each. It ends with the test. */
export async function startCluster(settings: readonly string[] = []): Promise<RedisCluster> {
  const ports = await Promise.all(Array.from({ length: 6 }, freePort))
  // Ten thousand above the other, as it would be, can be no port any more.
  const nodes = await Promise.all(
    ports.map((port) => startRedis([...clusterSettings, '--cluster-port', String(port), ...settings])),
  )
  const [first, ...others] = nodes
  if (!first) throw new Error('no node')
  const primaries = nodes.slice(0, 3)
  const replicas = nodes.slice(3)
  await Promise.all(
    primaries.map(({ admin }, third) =>
      admin.cluster('ADDSLOTSRANGE', Math.ceil((slots * third) / 3), Math.ceil((slots * (third + 1)) / 3) - 1),
    ),
  )
  for (const [index, { port }] of others.entries())
    await first.admin.cluster('MEET', '127.0.0.1', port, ports[index + 1] ?? 0)
  await until('all have met', async () => {
    const known = await Promise.all(nodes.map(async ({ admin }) => knownIn(await admin.cluster('INFO'))))
    return known.every((count) => count === nodes.length)
  })
  for (const [third, { admin }] of replicas.entries()) {
    const id = String(await primaries[third]?.admin.cluster('MYID'))
    await until('it replicates', async () =>
      admin.cluster('REPLICATE', id).then(
        () => true,
        () => false,
      ),
    )
  }
  for (const { admin } of nodes) {
    await until('the cluster is whole', async () => /cluster_state:ok/.test(await admin.cluster('INFO')))
    await until(
      'it knows three replicas',
      async () => String(await admin.cluster('NODES')).match(/slave /g)?.length === 3,
    )
  }
  for (const { admin } of replicas)
    await until('the link is up', async () => /master_link_status:up/.test(await admin.info('replication')))
  return {
    url: first.url,
    nodes,
    async primaryOf(slot) {
      for (const { admin, child } of nodes) {
        if (child.exitCode !== null || child.signalCode !== null) continue
        const ranges = await admin.cluster('SLOTS')
        const range = ranges.find(([from, to]) => from <= slot && slot <= to)
        const port = range?.[2]?.[1]
        const node = nodes.find((one) => one.port === port)
        if (node) return node
        await sleep(100)
      }
      throw new Error(`nobody has slot ${slot}`)
    },
    async startAgain(node) {
      const again = await startAgain(node)
      nodes[nodes.indexOf(node)] = again
      await until('it is whole again', async () => {
        const all = await Promise.all(nodes.map(({ admin }) => admin.cluster('NODES').catch(String)))
        return all.every((told) => !/fail|disconnected|LOADING/.test(String(told)))
      })
      await until('it is loaded', async () => /cluster_state:ok/.test(await again.admin.cluster('INFO')))
    },
  }
}

/** As redis-cli --cluster reshard does it, key by key, while others go on. */
export async function moveSlot(
  slot: number,
  { from, to, nodes }: { from: RedisProcess; to: RedisProcess; nodes: readonly RedisProcess[] },
): Promise<void> {
  const source = await from.admin.cluster('MYID')
  const target = await to.admin.cluster('MYID')
  await to.admin.cluster('SETSLOT', slot, 'IMPORTING', source)
  await from.admin.cluster('SETSLOT', slot, 'MIGRATING', target)
  for (;;) {
    const keys = await from.admin.cluster('GETKEYSINSLOT', slot, 10)
    if (keys.length === 0) break
    await from.admin.migrate('127.0.0.1', to.port, '', 0, 5000, 'KEYS', ...keys.map(String))
  }
  for (const { admin } of [to, from, ...nodes.filter((node) => node !== to && node !== from)])
    await admin.cluster('SETSLOT', slot, 'NODE', target).catch(ifReplica)
}

/** Replicas learn it from their primaries. */
function ifReplica(error: unknown): void {
  if (!String(error).includes('with masters')) throw error
}

const clusterSettings = [
  '--cluster-enabled',
  'yes',
  '--appendonly',
  'yes',
  '--cluster-node-timeout',
  String(nodeTimeoutMs),
  '--cluster-replica-validity-factor',
  '0',
]

function knownIn(info: string): number {
  return Number(/cluster_known_nodes:(\d+)/.exec(info)?.[1])
}
