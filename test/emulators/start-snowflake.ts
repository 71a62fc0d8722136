import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { warehouseOptionsOf, loadSettings } from '@heapferry/config'
import { alterTaps, makeHeap, makeTaps, source, tapRows, unloadByHand } from './heap-in-fakesnow.ts'
import { newKeyPair, passphrase, startFakesnow, type TestSnowflake } from './start-fakesnow.ts'
import type { TestWarehouse } from './warehouse-contract.ts'

/** fakesnow with Heap's tables, as the contracts of warehouses want it. */
export async function startSnowflake(): Promise<TestWarehouse & { snowflake: TestSnowflake }> {
  const snowflake = await startFakesnow()
  const folder = mkdtempSync(path.join(tmpdir(), 'heapferry-snowflake-'))
  const { publicKey, privateKey } = newKeyPair()
  const keyFile = path.join(folder, 'rsa_key.p8')
  writeFileSync(keyFile, privateKey)
  await snowflake.state({ public_key: publicKey, who: 'ACME-MAIN.HEAPFERRY' })
  const settings = (endpoint: string) => ({
    HEAPFERRY_SNOWFLAKE_ENDPOINT: endpoint,
    SNOWFLAKE_USER: 'heapferry',
    SNOWFLAKE_PRIVATE_KEY_FILE: keyFile,
    SNOWFLAKE_PRIVATE_KEY_PASSPHRASE: passphrase,
  })
  return {
    snowflake,
    source,
    endpoint: snowflake.endpoint,
    settings,
    options: (endpoint) => warehouseOptionsOf(loadSettings({}, settings(endpoint), folder)),
    secrets: [passphrase, privateKey.split('\n')[1] ?? '', 'eyJhbGciOi'],
    async makeHeap() {
      // Rows that are the same are one event where they are in one window; of several PostHog keeps one.
      await snowflake.state({ partition_rows: 5000 })
      await makeHeap(snowflake)
    },
    async makeTaps() {
      await snowflake.state({ partition_rows: 1000 })
      await makeTaps(snowflake)
    },
    tapRows,
    unloadByHand: (into, tables) => unloadByHand(snowflake, into, tables),
    alter: (how) => alterTaps(snowflake, how),
    sync: () => snowflake.run(`update _sync_info set synced_at = '2024-01-02'`),
    expire: async () => void (await snowflake.state({ expire: true })),
    queries: async () => (await snowflake.readings()).length,
    asksForRows: /\?partition=\d/,
    busy: (on) => ({ on, kind: 'status', status: 429, code: '', headers: { 'retry-after': '2' } }),
    withoutLastRow(text) {
      const answer = JSON.parse(text)
      return JSON.stringify({ ...answer, data: answer.data.slice(0, -1) })
    },
    async close() {
      await snowflake.close()
      rmSync(folder, { recursive: true })
    },
  }
}
