import { startFakePostHog } from '@heapferry/fake-posthog'

/** The stand-in in a process of its own, as long as its parent lives. It says where it is. */
const posthog = await startFakePostHog({ apiKey: process.argv[2] ?? '', persons: false })
process.stdout.write(`${posthog.port}\n`)
process.stdin.resume().on('end', () => process.exit())
