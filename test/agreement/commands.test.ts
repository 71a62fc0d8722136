import { readFileSync } from 'node:fs'
import path from 'node:path'
import { CommanderError } from 'commander'
import { expect, test } from 'vitest'
import { commandList, programFor } from '../../apps/cli/src/program.ts'

const root = path.resolve(import.meta.dirname, '../..')
const documents = ['README.md', 'docs/operations.md', 'docs/guides.md', 'docs/warehouses.md'].map((name) => ({
  name,
  text: readFileSync(path.join(root, name), 'utf8'),
}))
const program = await programFor(commandList.map(({ name }) => name))
const commands = new Map(program.commands.map((command) => [command.name(), command]))

test('the README lists every command with what its help says of it', () => {
  const readme = documents[0]?.text ?? ''
  const listed = [...readme.matchAll(/^\| `(\w+[^`]*)`\s*\| (.+?)\s*\|$/gm)].map(([, term, what]) => [term, what])
  expect(listed).toEqual(commandList.map(({ term, description }) => [term, description]))
})

test('every heapferry command line in the documents is one that the command line takes', () => {
  const faults = []
  let seen = 0
  for (const { name, text } of documents) {
    for (const [line] of text.matchAll(
      /(?:npm start -- |heapferry )(?:plan|mapping|run|enqueue|worker|dashboard|status|runs|pause|resume|cancel|rejected|retry|verify|report|clean|support|pace|demo)\b[^`\n]*/g,
    )) {
      seen++
      const words = line
        .replace(/^npm start -- |^heapferry /, '')
        .replace(/\s+#.*$|\s{3,}.*$/, '')
        .trim()
        .split(/\s+/)
      const command = commands.get(words[0] ?? '')
      const flags = words.filter((word) => word.startsWith('--'))
      const known = new Set(command?.options.map(({ long }) => long))
      for (const flag of flags) if (!known.has(flag)) faults.push(`${name}: ${line}: ${flag}`)
    }
  }
  expect(faults).toEqual([])
  expect(seen).toBeGreaterThan(12)
})

test('a wrong option of any command, also of one inside of another, ends as wrong usage', async () => {
  for (const command of [...commands.values()].flatMap((one) => [one, ...one.commands])) {
    command.configureOutput({ writeErr: () => {} })
    const names = [command.parent === program ? [] : [command.parent?.name() ?? ''], command.name()].flat()
    const parsed = program.parseAsync([...names, '--no-such-option'], { from: 'user' })
    await expect(parsed).rejects.toThrow(CommanderError)
  }
})

test('every command has a help that tells more than its name', () => {
  for (const command of commands.values()) expect(command.description().length).toBeGreaterThan(15)
})
