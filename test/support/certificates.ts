import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { temporaryFolder } from './folder.ts'

/** Files in PEM: an authority of one's own, and what it has signed for 127.0.0.1 and for a client. */
export interface Certificates {
  folder: string
  ca: string
  server: { cert: string; key: string }
  client: { cert: string; key: string }
}

export async function makeCertificates(): Promise<Certificates> {
  const folder = await temporaryFolder()
  const openssl = (...args: string[]) => promisify(execFile)('openssl', args, { cwd: folder })
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  await openssl('req', '-x509', ...newKey, '-keyout', 'ca.key', '-out', 'ca.crt', '-days', '2', '-subj', '/CN=own')
  await writeFile(path.join(folder, 'names'), 'subjectAltName=IP:127.0.0.1\n')
  for (const name of ['server', 'client']) {
    await openssl('req', ...newKey, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`)
    const signed = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'names']
    await openssl('x509', '-req', '-in', `${name}.csr`, '-out', `${name}.crt`, ...signed)
  }
  const of = (name: string) => ({ cert: path.join(folder, `${name}.crt`), key: path.join(folder, `${name}.key`) })
  return { folder, ca: path.join(folder, 'ca.crt'), server: of('server'), client: of('client') }
}

/** What a redis-server is told to take TLS alone at the port. */
export function tlsSettings({ ca, server }: Certificates, port: number, askClients: 'yes' | 'no' = 'no'): string[] {
  const settings = { port: String(port), 'cert-file': server.cert, 'key-file': server.key, 'ca-cert-file': ca }
  return Object.entries({ ...settings, 'auth-clients': askClients }).flatMap(([name, value]) => [
    `--tls-${name}`,
    value,
  ])
}
