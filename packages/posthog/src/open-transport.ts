import { autoTransport, type OnChosen } from './auto-transport.ts'
import { batchTransport } from './batch-transport.ts'
import type { Transport, TransportOptions } from './transport.ts'
import { v1Transport } from './v1-transport.ts'
import type { TransportName } from '@heapferry/domain'

/** The transport of that name; with `auto` the best that the host has. `onChosen` is told, once at least. */
export async function openTransport(
  name: TransportName | 'auto',
  options: TransportOptions,
  onChosen: OnChosen,
): Promise<Transport> {
  if (name === 'auto') return autoTransport(options, onChosen)
  onChosen(name, 'HEAPFERRY_TRANSPORT says so')
  switch (name) {
    case 'v1':
      return v1Transport(options)
    case 'batch':
      return batchTransport(options)
    case 'sdk': {
      // posthog-node is a hundred files, which hardly anybody needs.
      const { sdkTransport } = await import('./sdk-transport.ts')
      return sdkTransport(options)
    }
  }
}
