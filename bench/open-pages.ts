import { argv } from 'node:process'

/** Listens to the page of a run as so many open browsers do, until it is killed. Arguments: the page's stream, how many. */
const [, , stream = '', count = '0'] = argv
for (let page = 0; page < Number(count); page++) void listen()

async function listen(): Promise<void> {
  const answer = await fetch(stream)
  if (!answer.ok || !answer.body) throw new Error(`${stream} answered ${answer.status}`)
  await answer.body.pipeTo(new WritableStream())
}
