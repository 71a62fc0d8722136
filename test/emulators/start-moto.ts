import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { CreateBucketCommand, DeleteObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { freePort } from '../../packages/queue/src/free-port.ts'
import type { TestStore } from '../support/s3-stand-in.ts'
import { until } from '../support/until.ts'
import { motoServer } from './install-moto.ts'

/** moto's S3 with one empty bucket, in a process that ends with `close`. */
export async function startMoto(): Promise<TestStore> {
  const port = await freePort()
  const endpoint = `http://127.0.0.1:${port}`
  const server = spawn(motoServer, ['-H', '127.0.0.1', '-p', String(port)], { stdio: 'ignore' })
  const client = new S3Client({ endpoint, forcePathStyle: true, region: 'us-east-1' })
  const bucket = 'acme'
  await until('moto answers', () => {
    if (server.exitCode !== null) throw new Error(`moto ended with ${server.exitCode}`)
    return fetch(endpoint).then(
      () => true,
      () => false,
    )
  })
  await client.send(new CreateBucketCommand({ Bucket: bucket }))
  return {
    endpoint,
    bucket,
    async put(key, body) {
      await client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: Buffer.from(body) }))
    },
    async remove(key) {
      await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }))
    },
    async close() {
      client.destroy()
      const ended = once(server, 'exit')
      server.kill('SIGTERM')
      await ended
    },
  }
}
