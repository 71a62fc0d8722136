import { once } from 'node:events'
import { startFakePostHog } from '@heapferry/fake-posthog'
import { type Command, InvalidArgumentError } from 'commander'
import { say } from '../print.ts'
import { stopSignal } from '../stop-signal.ts'

export function fakePostHogCommand(command: Command): void {
  command
    .option('--listen <ADDRESS>', 'where it listens', '127.0.0.1')
    .option('--port <PORT>', 'at which port', parsePort, 8000)
    .addHelpText(
      'after',
      `
It takes events as PostHog does, with any project key, and forgets them when it
ends. Give its address as --host (POSTHOG_HOST) to everything that takes part.
GET /_fake/counts tells how many events it was sent, and how many it holds.`,
    )
    .action(async ({ listen: host, port }: { listen: string; port: number }) => {
      const posthog = await startFakePostHog({ host, port })
      say(`A stand-in for PostHog: ${posthog.url}  (Ctrl-C ends it)`)
      const stop = stopSignal('Stopping.')
      if (!stop.aborted) await once(stop, 'abort')
      await posthog.stop()
    })
}

function parsePort(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text)
  throw new InvalidArgumentError('expected a port number')
}
